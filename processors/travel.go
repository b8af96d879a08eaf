package processors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// earthRadius is the mean radius in kilometres (IUGG).
const earthRadius = 6371.0088

// Position is a place on earth, in degrees north and east.
type Position struct{ Latitude, Longitude float64 }

// valid reports whether the position is one.
func (p Position) valid() bool {
	return math.Abs(p.Latitude) <= 90 && math.Abs(p.Longitude) <= 180
}

// Kilometers is the great-circle distance to q on a sphere, by the haversine formula. It is off by half a percent at most, for
// the earth is no sphere.
func (p Position) Kilometers(q Position) float64 {
	const degree = math.Pi / 180
	north := math.Sin((q.Latitude - p.Latitude) * degree / 2)
	east := math.Sin((q.Longitude - p.Longitude) * degree / 2)
	h := float64(north*north) + float64(math.Cos(p.Latitude*degree)*math.Cos(q.Latitude*degree)*float64(east*east))
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}

// Trip is a value whose place cannot have been reached in time from the place before.
type Trip[V any] struct {
	Value      V
	From       Position
	FromRecord Origin // the record that was there
	Kilometers float64
	Seconds    float64 // between the two records
}

// TravelConfig says what is possible. The zero value is a working configuration.
type TravelConfig struct {
	// MaxSpeed is in kilometres per hour. The default is 1,000, an airliner.
	MaxSpeed float64
	// MinKilometers is a distance that never counts: places are known roughly. The default is 50.
	MinKilometers float64
}

// TravelStore remembers where each key was last, until any place can be reached from there.
type TravelStore[K any] struct {
	store state.KeyValueStore[K, stay]
	cfg   TravelConfig
	err   error
}

// NewTravelStore declares a store for [ImpossibleTravel].
func NewTravelStore[K any](name string, key serde.Serde[K], cfg TravelConfig) TravelStore[K] {
	cfg.MaxSpeed = cmp.Or(cfg.MaxSpeed, 1000)
	cfg.MinKilometers = cmp.Or(cfg.MinKilometers, 50)
	s := TravelStore[K]{store: state.NewKeyValueStore(name, key, staySerde), cfg: cfg, err: joinMistakes(name, nil,
		mistake(!(cfg.MaxSpeed >= 1), "a speed of %v km/h: want at least 1", cfg.MaxSpeed),
		mistake(!(cfg.MinKilometers >= 0), "a distance of %v km: want 0 or more", cfg.MinKilometers))}
	if s.err == nil {
		hours := math.Pi * earthRadius / cfg.MaxSpeed
		s.store = s.store.TTL(time.Duration(hours*float64(time.Hour)) + time.Millisecond)
	}
	return s
}

// Spec implements [state.Definition].
func (s TravelStore[K]) Spec() state.Spec {
	spec := s.store.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// ImpossibleTravel returns a processor that passes on the records whose place is further from the place of their key's
// youngest record than can be travelled in the time between them. position returns false for a record whose place is not
// known; it is skipped. One that lies nowhere on earth fails.
//
// A record that comes out of order is compared too, whichever of the two is the older; the youngest place stays.
//
// Name last as a store of the same Process.
func ImpossibleTravel[K, V any](position func(V) (Position, bool), last TravelStore[K]) func(*stream.Context[K, Trip[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Trip[V]], r stream.Record[K, V]) error {
		here, known := position(r.Value)
		switch {
		case !known:
			return nil
		case !here.valid():
			return fmt.Errorf("processors: latitude %v, longitude %v is no place on earth", here.Latitude, here.Longitude)
		}
		store := last.store.In(c)
		before, found, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		if !found || !r.Time.Before(before.record.Time) {
			if err := store.Put(r.Key, stay{here, Origin{r.Topic, r.Partition, r.Offset, r.Time}}); err != nil {
				return err
			}
		}
		if !found {
			return nil
		}
		trip := Trip[V]{
			Value: r.Value, From: before.place, FromRecord: before.record,
			Kilometers: before.place.Kilometers(here), Seconds: r.Time.Sub(before.record.Time).Abs().Seconds(),
		}
		if trip.Kilometers <= last.cfg.MinKilometers || trip.Kilometers <= last.cfg.MaxSpeed*trip.Seconds/3600 {
			return nil
		}
		return c.Forward(r.Key, trip)
	}
}

// stay is where a key was.
type stay struct {
	place  Position
	record Origin
}

// staySerde writes latitude and longitude as floats, and the record.
var staySerde = serde.Serde[stay]{
	Name: "stay",
	Encode: func(dst []byte, s stay) ([]byte, error) {
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(s.place.Latitude))
		dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(s.place.Longitude))
		return originSerde.Encode(dst, s.record)
	},
	Decode: func(b []byte) (s stay, err error) {
		if len(b) < 16 {
			return s, errors.New("processors: a place that is cut off")
		}
		s.place.Latitude = math.Float64frombits(binary.BigEndian.Uint64(b))
		s.place.Longitude = math.Float64frombits(binary.BigEndian.Uint64(b[8:]))
		s.record, err = originSerde.Decode(b[16:])
		return s, err
	},
}
