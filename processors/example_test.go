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

type Payment struct {
	ID    string
	Cents int64
}

func (p Payment) Fingerprint() string                 { return p.ID }
func (p Payment) Observation() processors.Observation { return processors.Observation{Amount: p.Cents} }

// Repeat is a payment that came again.
type Repeat struct {
	ID     string
	Offset int64 // of the first one
}

var (
	Payments = stream.NewTopic("payments", serde.String, serde.JSON[Payment]())
	Unique   = stream.NewTopic("unique", serde.String, serde.JSON[Payment]())
	Repeats  = stream.NewTopic("repeats", serde.String, serde.JSON[Repeat]())
	Findings = stream.NewTopic("findings", serde.String, serde.String)
)

// Each payment once.
func ExampleDedup() {
	seen := processors.NewDedupStore("seen", serde.String).TTL(time.Hour)

	b := stream.NewBuilder("example")
	b.From(Payments).
		Process("once", processors.Dedup(Payment.Fingerprint, seen), seen).
		To(Unique)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}

	d := streamtest.New(example{}, topology)
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d.Pipe(Payments, "card-1", Payment{"p1", 500}, noon)
	d.Pipe(Payments, "card-1", Payment{"p1", 500}, noon.Add(time.Second))
	d.Pipe(Payments, "card-1", Payment{"p2", 900}, noon.Add(2*time.Second))
	for _, p := range d.Values(Unique) {
		fmt.Println(p.ID, p.Cents)
	}
	// Output:
	// p1 500
	// p2 900
}

// The first payments go to one topic, and those that repeat them to another, with the offset of the first.
func ExampleMarkDuplicates() {
	seen := processors.NewDedupStore("seen", serde.String).TTL(time.Hour)

	b := stream.NewBuilder("example")
	unique, duplicates := b.From(Payments).
		Process("seen-before", processors.MarkDuplicates(Payment.Fingerprint, seen), seen).
		Branch(processors.Checked[Payment].Unique)
	unique.
		Map(func(c processors.Checked[Payment]) Payment { return c.Value }).
		To(Unique)
	duplicates.
		Map(func(c processors.Checked[Payment]) Repeat { return Repeat{c.Value.ID, c.First.Offset} }).
		To(Repeats)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(topology)

	d := streamtest.New(example{}, topology)
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d.Pipe(Payments, "card-1", Payment{"p1", 500}, noon)
	d.Pipe(Payments, "card-1", Payment{"p2", 900}, noon)
	d.Pipe(Payments, "card-1", Payment{"p1", 500}, noon.Add(time.Minute))
	fmt.Println("unique:", d.Values(Unique))
	fmt.Println("repeats:", d.Values(Repeats))
	// Output:
	// source payments
	// processor seen-before store=seen <- payments
	// processor seen-before-branch-1 <- seen-before
	// processor seen-before-map-1 <- seen-before-branch-1.yes
	// sink unique <- seen-before-map-1
	// processor seen-before-map-2 <- seen-before-branch-1.no
	// sink repeats <- seen-before-map-2
	// unique: [{p1 500} {p2 900}]
	// repeats: [{p1 0}]
}

// What a card paid in the last hour and in the last day, this payment included.
func ExampleSliding() {
	spent := processors.NewSlidingStore("spent", serde.String, processors.SlidingConfig{
		Windows: []processors.SlidingWindow{{Width: time.Hour}, {Width: 24 * time.Hour}},
	})

	b := stream.NewBuilder("example")
	b.From(Payments).
		Process("spent", processors.Sliding(Payment.Observation, spent), spent).
		Map(func(a processors.Aggregated[Payment]) string {
			hour, day := a.Windows[0], a.Windows[1]
			return fmt.Sprintf("%s: %d cents in an hour, %d in a day, %.0f on average", a.Value.ID, hour.Sum, day.Sum, day.Mean())
		}).
		To(Findings)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}

	d := streamtest.New(example{}, topology)
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	d.Pipe(Payments, "card-1", Payment{"p1", 500}, noon)
	d.Pipe(Payments, "card-1", Payment{"p2", 700}, noon.Add(59*time.Minute))
	d.Pipe(Payments, "card-1", Payment{"p3", 300}, noon.Add(time.Hour))
	for _, finding := range d.Values(Findings) {
		fmt.Println(finding)
	}
	// Output:
	// p1: 500 cents in an hour, 500 in a day, 500 on average
	// p2: 1200 cents in an hour, 1200 in a day, 600 on average
	// p3: 1000 cents in an hour, 1500 in a day, 500 on average
}

// example is the test that a driver reports to, in an example.
type example struct{}

func (example) Helper()                           {}
func (example) Cleanup(func())                    {}
func (example) Errorf(format string, args ...any) { log.Printf(format, args...) }
func (example) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }
