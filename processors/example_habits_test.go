package processors_test

import (
	"fmt"
	"log"
	"time"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// Purchase is a payment that tells more than its amount.
type Purchase struct {
	Cents    int64
	Country  string
	Place    processors.Position
	Declined bool
}

func (p Purchase) Amount() float64 { return float64(p.Cents) }
func (p Purchase) Origin() string  { return p.Country }
func (p Purchase) Position() (processors.Position, bool) {
	return p.Place, p.Place != processors.Position{}
}
func (p Purchase) Refused() bool  { return p.Declined }
func (p Purchase) Approved() bool { return !p.Declined }
func (p Purchase) Small() bool    { return p.Cents <= 100 }
func (p Purchase) Large() bool    { return p.Cents >= 500_00 }

var Purchases = stream.NewTopic("purchases", serde.String, serde.JSON[Purchase]())

// printFindings runs a topology over purchases of one card, at so many minutes, and prints the findings.
func printFindings(b *stream.Builder, minutes []int, purchases []Purchase) {
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	d := streamtest.New(example{}, topology)
	for i, p := range purchases {
		d.Pipe(Purchases, "card-1", p, time.Date(2026, 1, 1, 12, minutes[i], 0, 0, time.UTC))
	}
	for _, finding := range d.Values(Findings) {
		fmt.Println(finding)
	}
}

// Three payments within ten minutes.
func ExampleVelocity() {
	recent := processors.NewVelocityStore("recent", serde.String, processors.VelocityConfig{Count: 3, Within: 10 * time.Minute})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("velocity", processors.Velocity[string, Purchase](recent), recent).
		Map(func(b processors.Burst[Purchase]) string { return fmt.Sprintf("%d payments in ten minutes", b.Count) }).
		To(Findings)

	printFindings(b, []int{0, 4, 9, 12, 30}, make([]Purchase, 5))
	// Output:
	// 3 payments in ten minutes
	// 3 payments in ten minutes
}

// A payment far above what the card is used to.
func ExampleDeviate() {
	habits := processors.NewDeviationStore("habits", serde.String, processors.DeviationConfig{HalfLife: 7 * 24 * time.Hour})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("deviation", processors.Deviate(Purchase.Amount, habits), habits).
		Filter(func(d processors.Deviation[Purchase]) bool { return d.Score > 3 && d.Weight > 2 }).
		Map(func(d processors.Deviation[Purchase]) string {
			return fmt.Sprintf("%d cents are %.1f standard deviations above %.0f", d.Value.Cents, d.Score, d.Mean)
		}).
		To(Findings)

	printFindings(b, []int{0, 1, 2, 3, 4}, []Purchase{{Cents: 900}, {Cents: 1100}, {Cents: 1000}, {Cents: 1050}, {Cents: 9000}})
	// Output:
	// 9000 cents are 108.0 standard deviations above 1013
}

// A payment in Seoul and, forty minutes later, one in London.
func ExampleImpossibleTravel() {
	seoul, london := processors.Position{Latitude: 37.57, Longitude: 126.98}, processors.Position{Latitude: 51.51, Longitude: -0.13}
	last := processors.NewTravelStore("last-place", serde.String, processors.TravelConfig{})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("travel", processors.ImpossibleTravel(Purchase.Position, last), last).
		Map(func(t processors.Trip[Purchase]) string {
			return fmt.Sprintf("%.0f km in %.0f minutes", t.Kilometers, t.Seconds/60)
		}).
		To(Findings)

	printFindings(b, []int{0, 10, 50}, []Purchase{{Place: seoul}, {Place: seoul}, {Place: london}})
	// Output:
	// 8857 km in 40 minutes
}

// The first payment in a country.
func ExampleFirstSeen() {
	countries := processors.NewSeenStore("countries", serde.String).TTL(90 * 24 * time.Hour)

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("country", processors.FirstSeen(Purchase.Origin, countries), countries).
		Filter(processors.Seen[Purchase].FirstSeen).
		Map(func(s processors.Seen[Purchase]) string { return "first payment in " + s.Value.Country }).
		To(Findings)

	printFindings(b, []int{0, 1, 2}, []Purchase{{Country: "KR"}, {Country: "KR"}, {Country: "JP"}})
	// Output:
	// first payment in KR
	// first payment in JP
}

// At most two payments, and then one every five minutes.
func ExampleRateLimit() {
	buckets := processors.NewRateLimitStore("buckets", serde.String, processors.RateLimitConfig{Records: 1, Per: 5 * time.Minute, Burst: 2})

	b := stream.NewBuilder("example")
	_, tooMany := b.From(Purchases).
		Process("limit", processors.RateLimit[string, Purchase](buckets), buckets).
		Branch(processors.Limited[Purchase].Within)
	tooMany.
		Map(func(l processors.Limited[Purchase]) string {
			return fmt.Sprintf("%d cents are over the limit", l.Value.Cents)
		}).
		To(Findings)

	printFindings(b, []int{0, 1, 2, 6}, []Purchase{{Cents: 100}, {Cents: 200}, {Cents: 300}, {Cents: 400}})
	// Output:
	// 300 cents are over the limit
}

// The countries in which a card pays most.
func ExampleTopK() {
	counts := processors.NewTopKStore("counts", serde.String, processors.TopKConfig{K: 2})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("top", processors.TopK(Purchase.Origin, counts), counts).
		Map(func(r []processors.Ranked) string { return fmt.Sprint(r) }).
		To(Findings)

	printFindings(b, []int{0, 1, 2, 3}, []Purchase{{Country: "KR"}, {Country: "JP"}, {Country: "US"}, {Country: "US"}})
	// Output:
	// [{KR 1 0}]
	// [{JP 1 0} {KR 1 0}]
	// [{US 2 0} {JP 1 0}]
}

// A small payment, to try the card, and then a large one within the hour.
func ExampleSequence() {
	tried := processors.NewSequenceStore("tried", serde.String, processors.Pattern[Purchase]{
		Steps:  []processors.Step[Purchase]{{Match: Purchase.Small}, {Match: Purchase.Large}},
		Within: time.Hour,
	})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("small-then-large", processors.Sequence(tried), tried).
		Map(func(m processors.Matched[Purchase]) string {
			return fmt.Sprintf("%d cents after a trial at offset %d", m.Value.Cents, m.Records[0].Offset)
		}).
		To(Findings)

	printFindings(b, []int{0, 1, 2, 3}, []Purchase{{Cents: 700_00}, {Cents: 100}, {Cents: 20_00}, {Cents: 900_00}})
	// Output:
	// 90000 cents after a trial at offset 1
}

// Three refused payments and then one that succeeds: somebody guessed.
func ExampleSequence_declines() {
	guesses := processors.NewSequenceStore("guesses", serde.String, processors.Pattern[Purchase]{
		Steps:  []processors.Step[Purchase]{{Match: Purchase.Refused, Times: 3}, {Match: Purchase.Approved}},
		Within: 10 * time.Minute,
		Reset:  Purchase.Approved,
	})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		Process("guessed", processors.Sequence(guesses), guesses).
		Map(func(m processors.Matched[Purchase]) string {
			return fmt.Sprintf("approved after %d refusals", len(m.Records)-1)
		}).
		To(Findings)

	printFindings(b, []int{0, 1, 2, 3, 4}, []Purchase{{Declined: true}, {Declined: true}, {Declined: true}, {}, {}})
	// Output:
	// approved after 3 refusals
}

// Payments that come up to a minute late leave in the order of their times.
func ExampleDelay() {
	held := processors.NewDelayStore("held", serde.String, serde.JSON[Purchase]())
	minuteLater := func(r stream.Record[string, Purchase]) time.Time { return r.Time.Add(time.Minute) }

	b := stream.NewBuilder("example")
	b.From(Purchases).
		ProcessWith("in-order", processors.Delay(minuteLater, held), held).
		Map(func(p Purchase) string { return fmt.Sprintf("%d cents", p.Cents) }).
		To(Findings)

	printFindings(b, []int{1, 0, 2, 10}, []Purchase{{Cents: 200}, {Cents: 100}, {Cents: 300}, {Cents: 400}})
	// Output:
	// 100 cents
	// 200 cents
	// 300 cents
}

// The last amount of each country, ten minutes after its first.
func ExampleDedupLast() {
	latest := processors.NewLastStore("latest", serde.String, serde.JSON[Purchase](), 10*time.Minute)

	b := stream.NewBuilder("example")
	b.From(Purchases).
		ProcessWith("latest", processors.DedupLast(Purchase.Origin, latest), latest).
		Map(func(p Purchase) string { return fmt.Sprintf("%s: %d cents", p.Country, p.Cents) }).
		To(Findings)

	printFindings(b, []int{0, 1, 2, 30}, []Purchase{{Cents: 100, Country: "KR"}, {Cents: 200, Country: "JP"}, {Cents: 300, Country: "KR"}, {}})
	// Output:
	// KR: 300 cents
	// JP: 200 cents
	// : 0 cents
}

// What a card paid in one go: payments less than ten minutes apart.
func ExampleSessionize() {
	open := processors.NewSessionStore("open", serde.String, serde.JSON[Purchase](), processors.SessionConfig{Gap: 10 * time.Minute})

	b := stream.NewBuilder("example")
	b.From(Purchases).
		ProcessWith("sessions", processors.Sessionize(open), open).
		Map(func(s processors.Session[Purchase]) string {
			return fmt.Sprintf("%d payments from %s to %s", len(s.Values), s.Start.Format(time.TimeOnly), s.End.Format(time.TimeOnly))
		}).
		To(Findings)

	printFindings(b, []int{0, 9, 12, 30, 50}, make([]Purchase, 5))
	// Output:
	// 3 payments from 12:00:00 to 12:12:00
	// 1 payments from 12:30:00 to 12:30:00
}
