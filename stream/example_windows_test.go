package stream_test

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

// larger is the payment of the higher amount.
func larger(a, b Payment) Payment {
	if b.Cents > a.Cents {
		return b
	}
	return a
}

// cents is what is shown of a payment.
func cents(p Payment) int64 { return p.Cents }

func ExampleWindowed_Aggregate() {
	spent := state.NewWindowStore("spent", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).Window(window.Tumbling(time.Minute).Grace(0)).Aggregate(spent, Spend.Add).To(Spent)

	showWindows(pipe(b), Spent)
	// Output:
	// card-1 12:00:00-12:01:00 {1 450}
	// card-2 12:00:00-12:01:00 {1 90000}
	// card-1 12:00:00-12:01:00 {2 12450}
}

// A record that comes when its window is closed is late. It is counted nowhere, and a stream of its own.
func ExampleWindowTable_Late() {
	perMinute := state.NewWindowStore("per-minute", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).Window(window.Tumbling(time.Minute).Grace(10 * time.Second)).Count(perMinute).Late().To(LateCash)

	d := pipe(b)
	d.Pipe(Payments, "card-2", Payment{Shop: "station"}, noon.Add(70*time.Second))
	d.Pipe(Payments, "card-1", Payment{Shop: "bakery"}, noon.Add(59*time.Second))
	for _, r := range d.Read(LateCash) {
		fmt.Println(r.Key, r.Value.Shop)
	}
	// Output: card-1 bakery
}

// A record that comes within the gap of a session prolongs it: the row of the session that was is deleted, by a tombstone, which reads as 0.
func ExampleSessionWindowed_Count() {
	visits := state.NewSessionStore("visits", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).Sessions(window.Session(30 * time.Minute).Grace(0)).Count(visits).To(PerCard)

	showWindows(pipe(b), PerCard)
	// Output:
	// card-1 12:00:00-12:00:00 1
	// card-2 12:00:01-12:00:01 1
	// card-1 12:00:00-12:00:00 0
	// card-1 12:00:00-12:00:02 2
}

func ExampleSessionWindowed_Reduce() {
	largest := state.NewSessionStore("largest", serde.String, serde.JSON[Payment]())

	b := stream.NewBuilder("example")
	b.From(Payments).Sessions(window.Session(30*time.Minute).Grace(0)).Reduce(largest, larger).OnClose().Map(cents).To(PerCard)

	d := pipe(b)
	d.Advance(noon.Add(time.Hour))
	showWindows(d, PerCard)
	// Output:
	// card-2 12:00:01-12:00:01 90000
	// card-1 12:00:00-12:00:02 12000
}

// Sessions that a late record unites become one, by the second function.
func ExampleSessionWindowed_Aggregate() {
	visits := state.NewSessionStore("visits", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Sessions(window.Session(10*time.Minute).Grace(time.Hour)).
		Aggregate(visits, Spend.Add, Spend.Merge).
		OnClose().
		To(Spent)

	d := pipe(b)
	d.Pipe(Payments, "card-1", Payment{Cents: 100}, noon.Add(20*time.Minute))
	d.Pipe(Payments, "card-1", Payment{Cents: 10}, noon.Add(10*time.Minute))
	d.Advance(noon.Add(3 * time.Hour))
	showWindows(d, Spent)
	// Output:
	// card-2 12:00:01-12:00:01 {1 90000}
	// card-1 12:00:00-12:20:00 {4 12560}
}

func ExampleSlidingWindowed_Count() {
	recent := state.NewWindowStore("recent", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).Sliding(window.Sliding(2 * time.Second).Grace(0)).Count(recent).To(PerCard)

	d := pipe(b)
	d.Pipe(Payments, "card-1", Payment{}, noon.Add(3*time.Second))
	showWindows(d, PerCard)
	// Output:
	// card-1 11:59:58-12:00:00 1
	// card-2 11:59:59-12:00:01 1
	// card-1 12:00:00-12:00:02 1
	// card-1 12:00:01-12:00:03 2
}

// The largest payment of the last ten seconds, with each payment.
func ExampleSlidingWindowed_Reduce() {
	largest := state.NewWindowStore("largest", serde.String, serde.JSON[Payment]())

	b := stream.NewBuilder("example")
	b.From(Payments).Sliding(window.Sliding(10*time.Second).Grace(0)).Reduce(largest, larger).Stream().Map(cents).To(PerCard)

	d := pipe(b)
	d.Pipe(Payments, "card-1", Payment{Cents: 100}, noon.Add(4*time.Second))
	showWindows(d, PerCard)
	// Output:
	// card-1 11:59:50-12:00:00 450
	// card-2 11:59:51-12:00:01 90000
	// card-1 11:59:52-12:00:02 12000
	// card-1 11:59:54-12:00:04 12000
}

// A late record belongs to windows that were sent before it: they are sent again.
func ExampleSlidingWindowed_Aggregate() {
	spent := state.NewWindowStore("spent", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).Sliding(window.Sliding(10*time.Second).Grace(time.Minute)).Aggregate(spent, Spend.Add, Spend.Merge).To(Spent)

	d := pipe(b)
	d.Read(Spent)
	d.Pipe(Payments, "card-1", Payment{Cents: 1}, noon.Add(time.Second))
	showWindows(d, Spent)
	// Output:
	// card-1 11:59:51-12:00:01 {2 451}
	// card-1 11:59:52-12:00:02 {3 12451}
}
