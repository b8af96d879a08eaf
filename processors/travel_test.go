package processors_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var trips = stream.NewTopic("trips", serde.String, serde.JSON[processors.Trip[string]]())

// cities are the values of these tests; another value has no known position.
var cities = map[string]processors.Position{
	"Seoul":    {37.5665, 126.9780},
	"Incheon":  {37.4563, 126.7052},
	"Busan":    {35.1796, 129.0756},
	"Tokyo":    {35.6762, 139.6503},
	"London":   {51.5074, -0.1278},
	"Auckland": {-36.8509, 174.7645},
	"nowhere":  {91, 0},
}

func position(v string) (processors.Position, bool) {
	p, ok := cities[v]
	return p, ok
}

func newTravel(t streamtest.TB, cfg processors.TravelConfig) *streamtest.Driver {
	t.Helper()
	store := processors.NewTravelStore("last", serde.String, cfg)
	return drive(t, processors.ImpossibleTravel(position, store), store, trips)
}

func TestKilometers(t *testing.T) {
	t.Parallel()
	const radius = 6371.0088
	tests := []struct {
		from, to processors.Position
		want     float64
	}{
		{processors.Position{Latitude: 36.12, Longitude: -86.67}, processors.Position{Latitude: 33.94, Longitude: -118.40}, 2887.2599506 / 6372.8 * radius}, // Rosetta Code: Nashville to Los Angeles
		{processors.Position{Latitude: 0, Longitude: 50}, processors.Position{Latitude: 90}, math.Pi / 2 * radius},
		{processors.Position{Longitude: 179.5}, processors.Position{Longitude: -179.5}, math.Pi / 180 * radius},
		{processors.Position{Latitude: 10, Longitude: 20}, processors.Position{Latitude: -10, Longitude: -160}, math.Pi * radius},
		{cities["Seoul"], cities["Seoul"], 0},
	}
	for _, test := range tests {
		for _, got := range []float64{test.from.Kilometers(test.to), test.to.Kilometers(test.from)} {
			if math.Abs(got-test.want) > 1e-3 {
				t.Errorf("%v to %v: %v km, want %v", test.from, test.to, got, test.want)
			}
		}
	}
}

// Arguments: [speed=KMH] [min=KM]
func TestTravelScripts(t *testing.T) {
	runScripts(t, "travel", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var cfg processors.TravelConfig
		td.MaybeScanArgs(t, "speed", &cfg.MaxSpeed)
		td.MaybeScanArgs(t, "min", &cfg.MinKilometers)
		return newTravel(t, cfg)
	}, trips, func(trip processors.Trip[string]) string {
		return fmt.Sprintf("%s: %.0f km in %v s from %s", trip.Value, trip.Kilometers, trip.Seconds, place(trip.FromRecord))
	})
}

// TestTravelModel compares with a search for the youngest record before.
func TestTravelModel(t *testing.T) {
	t.Parallel()
	type visit struct {
		city string
		at   int64
		n    int64
	}
	rapid.Check(t, func(t *rapid.T) {
		speed := rapid.SampledFrom([]float64{100, 1000, 5000}).Draw(t, "speed")
		d := newTravel(t, processors.TravelConfig{MaxSpeed: speed})
		remembered := math.Pi * 6371.0088 / speed * 3600
		visits := make(map[string][]visit)
		streamTime := int64(0)
		for n := range rapid.Int64Range(1, 40).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-20_000), streamTime+20_000).Draw(t, "time")
			if rapid.Bool().Draw(t, "same time") {
				now = streamTime
			}
			streamTime = max(streamTime, now)
			key := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")
			city := rapid.SampledFrom([]string{"Seoul", "Incheon", "Busan", "Tokyo", "London", "Auckland", "?"}).Draw(t, "city")

			var want []processors.Trip[string]
			if city != "?" {
				var before *visit
				for i, v := range visits[key] {
					if float64(streamTime-v.at) < remembered && (before == nil || v.at >= before.at) {
						before = &visits[key][i]
					}
				}
				if before != nil {
					kilometers := cities[before.city].Kilometers(cities[city])
					elapsed := math.Abs(float64(now - before.at))
					if kilometers > 50 && kilometers > speed*elapsed/3600 {
						want = append(want, processors.Trip[string]{
							Value: city, From: cities[before.city], Kilometers: kilometers, Seconds: elapsed,
							FromRecord: processors.Origin{Topic: "in", Offset: before.n, Time: second(before.at)},
						})
					}
				}
				visits[key] = append(visits[key], visit{city, now, n})
			}
			d.Pipe(in, key, city, second(now))
			if diff := cmp.Diff(want, d.Values(trips)); diff != "" {
				t.Fatalf("record %d, key %q, second %d of stream time %d (-want +got):\n%s", n, key, now, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

func TestTravelMistakes(t *testing.T) {
	t.Parallel()
	store := processors.NewTravelStore("last", serde.String, processors.TravelConfig{MaxSpeed: -1, MinKilometers: math.NaN()})
	wantMistakes(t, processors.ImpossibleTravel(position, store), store, trips, `"last"`, "-1 km/h", "NaN km")
}
