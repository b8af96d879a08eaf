package stream_test

import (
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// Payment is the record of the examples.
type Payment struct {
	Card    string
	Shop    string
	Cents   int64
	Country string
}

func (p Payment) Large() bool   { return p.Cents >= 100_00 }
func (p Payment) Foreign() bool { return p.Country != "NL" }

var (
	Payments = stream.NewTopic("payments", serde.String, serde.JSON[Payment]())
	Large    = stream.NewTopic("payments-large", serde.String, serde.JSON[Payment]())
	Foreign  = stream.NewTopic("payments-foreign", serde.String, serde.JSON[Payment]())
	Notes    = stream.NewTopic("notes", serde.String, serde.String)
	Totals   = stream.NewTopic("totals", serde.String, serde.Int64)
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// pipe runs a topology on three payments.
func pipe(b *stream.Builder) *streamtest.Driver {
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	d := streamtest.New(example{}, topology)
	d.Pipe(Payments, "card-1", Payment{"card-1", "bakery", 4_50, "NL"}, noon)
	d.Pipe(Payments, "card-2", Payment{"card-2", "jeweller", 900_00, "BE"}, noon.Add(time.Second))
	d.Pipe(Payments, "card-1", Payment{"card-1", "bakery", 120_00, "NL"}, noon.Add(2*time.Second))
	return d
}

// example is the test that a driver reports to, in an example.
type example struct{}

func (example) Helper()                           {}
func (example) Cleanup(func())                    {}
func (example) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (example) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// A topology reads from top to bottom, and its text is a golden test.
func Example() {
	recent := state.NewKeyValueStore("recent", serde.String, serde.Int64).TTL(time.Hour)

	// spend sends how much a card has spent.
	spend := func(c *stream.Context[string, int64], r stream.Record[string, Payment]) error {
		store := recent.In(c)
		cents, _, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		cents += r.Value.Cents
		if err := store.Put(r.Key, cents); err != nil {
			return err
		}
		return c.Forward(r.Key, cents)
	}

	b := stream.NewBuilder("fraud")
	b.From(Payments).
		Process("spend", spend, recent).
		Filter(func(cents int64) bool { return cents > 100_00 }).
		To(Totals)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(topology)
	// Output:
	// source payments
	// processor spend store=recent <- payments
	// processor spend-filter-1 <- spend
	// sink totals <- spend-filter-1
}

func ExampleStream_Filter() {
	b := stream.NewBuilder("example")
	b.From(Payments).Filter(Payment.Large).To(Large)

	for _, p := range pipe(b).Values(Large) {
		fmt.Println(p.Card, p.Cents)
	}
	// Output:
	// card-2 90000
	// card-1 12000
}

func ExampleStream_FilterRecord() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		FilterRecord(func(r stream.Record[string, Payment]) bool { return r.Time.After(noon) }).
		To(Large)

	fmt.Println(len(pipe(b).Values(Large)), "after noon")
	// Output: 2 after noon
}

func ExampleStream_Map() {
	b := stream.NewBuilder("example")
	b.From(Payments).Map(func(p Payment) int64 { return p.Cents }).To(Totals)

	fmt.Println(pipe(b).Values(Totals))
	// Output: [450 90000 12000]
}

func ExampleStream_MapRecord() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		MapRecord(func(r stream.Record[string, Payment]) string {
			return fmt.Sprintf("%s-%d@%d: %s", r.Topic, r.Partition, r.Offset, r.Key)
		}).
		To(Notes)

	fmt.Println(strings.Join(pipe(b).Values(Notes), "\n"))
	// Output:
	// payments-0@0: card-1
	// payments-0@1: card-2
	// payments-0@2: card-1
}

// A record whose function fails goes to the dead letters, with the cause. The others go on.
func ExampleStream_TryMap() {
	errAbroad := errors.New("no rate for this country")

	b := stream.NewBuilder("example")
	b.From(Payments).
		TryMap(func(p Payment) (int64, error) {
			if p.Foreign() {
				return 0, errAbroad
			}
			return p.Cents, nil
		}).
		To(Totals)

	d := pipe(b)
	fmt.Println(d.Values(Totals))
	for _, l := range d.DeadLetters() {
		fmt.Printf("%s@%d at %s: %v\n", l.Topic, l.Offset, l.Node, l.Cause)
	}
	// Output:
	// [450 12000]
	// payments@1 at payments-map-1: no rate for this country
}

func ExampleStream_FlatMap() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		Filter(Payment.Large).
		FlatMap(func(p Payment) []string { return []string{p.Card, p.Shop} }).
		To(Notes)

	fmt.Println(pipe(b).Values(Notes))
	// Output: [card-2 jeweller card-1 bakery]
}

// A branch is two streams, and the rest can be parted again.
func ExampleStream_Branch() {
	b := stream.NewBuilder("example")
	foreign, rest := b.From(Payments).Branch(Payment.Foreign)
	large, small := rest.Branch(Payment.Large)
	foreign.To(Foreign)
	large.To(Large)
	small.Map(func(p Payment) string { return "small at the " + p.Shop }).To(Notes)

	d := pipe(b)
	fmt.Println("foreign:", d.Values(Foreign))
	fmt.Println("large:", d.Values(Large))
	fmt.Println("notes:", d.Values(Notes))
	// Output:
	// foreign: [{card-2 jeweller 90000 BE}]
	// large: [{card-1 bakery 12000 NL}]
	// notes: [small at the bakery]
}

func ExampleStream_Merge() {
	b := stream.NewBuilder("example")
	payments := b.From(Payments)
	large := payments.Filter(Payment.Large).Map(func(p Payment) string { return "large: " + p.Card })
	foreign := payments.Filter(Payment.Foreign).Map(func(p Payment) string { return "foreign: " + p.Card })
	large.Merge(foreign).To(Notes)

	fmt.Println(strings.Join(pipe(b).Values(Notes), "\n"))
	// Output:
	// large: card-2
	// foreign: card-2
	// large: card-1
}

func ExampleStream_Peek() {
	b := stream.NewBuilder("example")
	b.From(Payments).Peek(func(p Payment) { fmt.Println(p.Shop) })
	pipe(b)
	// Output:
	// bakery
	// jeweller
	// bakery
}

// Counting by another key needs all records of that key in one place: Rekey takes care of it.
func ExampleStream_Rekey() {
	visits := state.NewKeyValueStore("visits", serde.String, serde.Int64)
	visit := func(c *stream.Context[string, int64], r stream.Record[string, Payment]) error {
		n, _, err := visits.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		if err := visits.In(c).Put(r.Key, n+1); err != nil {
			return err
		}
		return c.Forward(r.Key, n+1)
	}

	b := stream.NewBuilder("example")
	b.From(Payments).
		Rekey("by-shop", serde.String, serde.JSON[Payment](), func(_ string, p Payment) string { return p.Shop }).
		Process("visit", visit, visits).
		To(Totals)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(topology)

	d := streamtest.New(example{}, topology)
	d.Pipe(Payments, "card-1", Payment{Shop: "bakery"}, noon)
	d.Pipe(Payments, "card-2", Payment{Shop: "bakery"}, noon)
	for _, r := range d.Read(Totals) {
		fmt.Println(r.Key, r.Value)
	}
	// Output:
	// sub-topology 0 reads=payments
	// source payments
	// rekey by-shop topic=example-by-shop-repartition <- payments
	//
	// sub-topology 1 reads=example-by-shop-repartition stores=visits
	// source by-shop topic=example-by-shop-repartition
	// processor visit store=visits <- by-shop
	// sink totals <- visit
	// bakery 1
	// bakery 2
}

// A processor may remember things in a store, and send any number of records.
func ExampleStream_Process() {
	last := state.NewKeyValueStore("last", serde.String, serde.JSON[Payment]())

	// moved tells of a card that paid in another country than before.
	moved := func(c *stream.Context[string, string], r stream.Record[string, Payment]) error {
		before, found, err := last.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		if err := last.In(c).Put(r.Key, r.Value); err != nil {
			return err
		}
		if !found || before.Country == r.Value.Country {
			return nil
		}
		return c.Forward(r.Key, before.Country+" -> "+r.Value.Country)
	}

	b := stream.NewBuilder("example")
	b.From(Payments).Process("moved", moved, last).To(Notes)

	d := pipe(b)
	d.Pipe(Payments, "card-1", Payment{Card: "card-1", Country: "FR"}, noon.Add(time.Hour))
	for _, r := range d.Read(Notes) {
		fmt.Println(r.Key, r.Value)
	}
	// Output: card-1 NL -> FR
}

// A processor with timers: a card that has not paid for an hour is reported, once, at that time.
func ExampleStream_ProcessWith() {
	idle := state.NewTimers("idle", serde.String)

	paid := func(c *stream.Context[string, string], r stream.Record[string, Payment]) error {
		return idle.In(c).Set(r.Key, r.Time.Add(time.Hour)) // in place of the one before
	}
	quiet := func(c *stream.Context[string, string], t state.Timer[string]) error {
		return c.Forward(t.Key, "quiet")
	}

	b := stream.NewBuilder("example")
	b.From(Payments).ProcessWith("quiet", stream.OnRecord(paid).OnTimer(idle, quiet)).To(Notes)

	d := pipe(b) // card-1 pays at noon and two seconds later, card-2 in between
	d.Advance(noon.Add(2 * time.Hour))
	for _, r := range d.Read(Notes) {
		fmt.Println(r.Time.Format(time.TimeOnly), r.Key, r.Value)
	}
	// Output:
	// 13:00:01 card-2 quiet
	// 13:00:02 card-1 quiet
}

// A timer's own call may set it anew: card-1 is reminded every hour until it pays.
func ExampleProcessor_OnTimer() {
	reminders := state.NewTimers("reminders", serde.String)

	paid := func(c *stream.Context[string, string], r stream.Record[string, Payment]) error {
		return reminders.In(c).Set(r.Key, r.Time.Add(time.Hour))
	}
	remind := func(c *stream.Context[string, string], t state.Timer[string]) error {
		if err := reminders.In(c).Set(t.Key, t.Time.Add(time.Hour)); err != nil {
			return err
		}
		return c.Forward(t.Key, "please pay")
	}

	b := stream.NewBuilder("example")
	b.From(Payments).FilterRecord(func(r stream.Record[string, Payment]) bool { return r.Key == "card-1" }).
		ProcessWith("remind", stream.OnRecord(paid).OnTimer(reminders, remind)).To(Notes)

	d := pipe(b)
	d.Advance(noon.Add(150 * time.Minute))
	for _, r := range d.Read(Notes) {
		fmt.Println(r.Time.Format(time.TimeOnly), r.Key, r.Value)
	}
	// Output:
	// 13:00:02 card-1 please pay
	// 14:00:02 card-1 please pay
}

// By the wall clock, records or not: how many payments each card has made so far.
func ExampleProcessor_PunctuateWallClock() {
	paid := state.NewKeyValueStore("paid", serde.String, serde.Int64)

	count := func(c *stream.Context[string, int64], r stream.Record[string, Payment]) error {
		n, _, err := paid.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		return paid.In(c).Put(r.Key, n+1)
	}
	report := func(c *stream.Context[string, int64], _ time.Time) error {
		for e, err := range paid.In(c).All() {
			if err != nil {
				return err
			}
			if err := c.Forward(e.Key, e.Value); err != nil {
				return err
			}
		}
		return nil
	}

	b := stream.NewBuilder("example")
	b.From(Payments).ProcessWith("tell", stream.OnRecord(count).PunctuateWallClock(10*time.Second, report), paid).To(Totals)

	d := pipe(b)
	d.AdvanceWallClock(10 * time.Second)
	for _, r := range d.Read(Totals) {
		fmt.Println(r.Key, r.Value)
	}
	// Output:
	// card-1 2
	// card-2 1
}

// A punctuation: how many cards have paid, every minute of stream time.
func ExampleProcessor_Punctuate() {
	cards := state.NewKeyValueStore("cards", serde.String, serde.Int64)

	count := func(c *stream.Context[string, int64], r stream.Record[string, Payment]) error {
		n, _, err := cards.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		return cards.In(c).Put(r.Key, n+1)
	}
	report := func(c *stream.Context[string, int64], _ time.Time) error {
		n := int64(0)
		for _, err := range cards.In(c).All() {
			if err != nil {
				return err
			}
			n++
		}
		return c.Forward("cards", n)
	}

	b := stream.NewBuilder("example")
	b.From(Payments).ProcessWith("count", stream.OnRecord(count).Punctuate(time.Minute, report), cards).To(Totals)

	d := pipe(b)
	d.Advance(noon.Add(90 * time.Second))
	for _, r := range d.Read(Totals) {
		fmt.Println(r.Time.Format(time.TimeOnly), r.Key, r.Value)
	}
	// Output: 12:01:00 cards 2
}

// Build reports every mistake, each with the step it is about.
func ExampleBuilder_Build() {
	b := stream.NewBuilder("example")
	payments := b.From(Payments)
	payments.Filter(nil).To(Large)
	payments.Filter(Payment.Foreign)
	_, err := b.Build()
	fmt.Println(err)
	// Output:
	// stream: filter "payments-filter-1": the function is nil
	// stream: filter "payments-filter-2" leads nowhere: end it with To, Process or Peek
}
