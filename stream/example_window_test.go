package stream_test

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// Spend is what a card has spent in a window.
type Spend struct {
	Payments int
	Cents    int64
}

func (s Spend) Add(p Payment) Spend { return Spend{s.Payments + 1, s.Cents + p.Cents} }

func (s Spend) Merge(later Spend) Spend {
	return Spend{s.Payments + later.Payments, s.Cents + later.Cents}
}

var (
	Spent    = stream.NewTopic("spent", window.KeySerde(serde.String), serde.JSON[Spend]())
	PerCard  = stream.NewTopic("per-card", window.KeySerde(serde.String), serde.Int64)
	LateCash = stream.NewTopic("late", serde.String, serde.JSON[Payment]())
)

// showWindows prints the windows that were written to a topic, with their times of the day.
func showWindows[V any](d *streamtest.Driver, t stream.Topic[window.Key[string], V]) {
	for _, r := range d.Read(t) {
		w := r.Key.Window
		fmt.Printf("%s %s-%s %v\n", r.Key.Key, w.Start.Format(time.TimeOnly), w.End.Format(time.TimeOnly), r.Value)
	}
}

// What each card has spent within five minutes, every minute. Every payment updates the five windows that it belongs to.
func ExampleStream_Window() {
	spend5m := state.NewWindowStore("spend-5m", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Window(window.Hopping(5*time.Minute, time.Minute).Grace(30*time.Second)).
		Aggregate(spend5m, Spend.Add).
		Stream().
		Filter(func(s Spend) bool { return s.Payments > 1 }).
		To(Spent)

	showWindows(pipe(b), Spent)
	// Output:
	// card-1 11:56:00-12:01:00 {2 12450}
	// card-1 11:57:00-12:02:00 {2 12450}
	// card-1 11:58:00-12:03:00 {2 12450}
	// card-1 11:59:00-12:04:00 {2 12450}
	// card-1 12:00:00-12:05:00 {2 12450}
}

// A window is sent once, when it is closed. What comes after that is late, and not lost.
func ExampleWindowTable_OnClose() {
	perMinute := state.NewWindowStore("per-minute", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	counts := b.From(Payments).Window(window.Tumbling(time.Minute).Grace(10 * time.Second)).Count(perMinute)
	counts.OnClose().To(PerCard)
	counts.Late().To(LateCash)

	d := pipe(b)
	d.Advance(noon.Add(70 * time.Second))
	d.Pipe(Payments, "card-1", Payment{Card: "card-1", Shop: "bakery"}, noon.Add(3*time.Second))
	showWindows(d, PerCard)
	for _, r := range d.Read(LateCash) {
		fmt.Println("late:", r.Key, r.Value.Shop)
	}
	// Output:
	// card-1 12:00:00-12:01:00 2
	// card-2 12:00:00-12:01:00 1
	// late: card-1 bakery
}

// LateWith tells which windows a late record has missed.
func ExampleWindowTable_LateWith() {
	spend := state.NewWindowStore("spend", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Window(window.Hopping(time.Minute, 30*time.Second).Grace(0)).
		Aggregate(spend, Spend.Add).
		LateWith(func(p Payment, missed []window.Window) string { return fmt.Sprint(p.Shop, " missed ", missed) }).
		To(Notes)

	d := pipe(b)
	d.Advance(noon.Add(30 * time.Second))
	d.Pipe(Payments, "card-1", Payment{Card: "card-1", Shop: "bakery"}, noon.Add(3*time.Second))
	show(d, Notes)
	// Output: card-1: bakery missed [[2026-01-01T11:59:30Z, 2026-01-01T12:00:30Z)]
}

// The largest payment of each minute.
func ExampleWindowed_Reduce() {
	largest := state.NewWindowStore("largest", serde.String, serde.JSON[Payment]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Window(window.Tumbling(time.Minute).Grace(0)).
		Reduce(largest, func(row, p Payment) Payment {
			if p.Cents > row.Cents {
				return p
			}
			return row
		}).
		Map(func(p Payment) Spend { return Spend{1, p.Cents} }).
		To(Spent)

	showWindows(pipe(b), Spent)
	// Output:
	// card-1 12:00:00-12:01:00 {1 450}
	// card-2 12:00:00-12:01:00 {1 90000}
	// card-1 12:00:00-12:01:00 {1 12000}
}

// How often each card has paid, ever: one window for all time.
func ExampleWindowed_Count() {
	ever := state.NewWindowStore("ever", serde.String, serde.Int64).Retention(state.Forever)

	b := stream.NewBuilder("example")
	b.From(Payments).Window(window.Unlimited()).Count(ever).To(PerCard)

	for _, r := range pipe(b).Read(PerCard) {
		fmt.Println(r.Key.Key, r.Value)
	}
	// Output:
	// card-1 1
	// card-2 1
	// card-1 2
}

// Visits: payments of a card that follow each other within half an hour.
func ExampleStream_Sessions() {
	visits := state.NewSessionStore("visits", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Sessions(window.Session(30*time.Minute).Grace(0)).
		Aggregate(visits, Spend.Add, Spend.Merge).
		OnClose().
		To(Spent)

	d := pipe(b)
	d.Pipe(Payments, "card-1", Payment{Card: "card-1", Cents: 100}, noon.Add(20*time.Minute))
	d.Advance(noon.Add(time.Hour))
	showWindows(d, Spent)
	// Output:
	// card-2 12:00:01-12:00:01 {1 90000}
	// card-1 12:00:00-12:20:00 {3 12550}
}

// Each payment with what its card has spent within the last ten seconds, and within the last hour, itself included.
func ExampleStream_Sliding() {
	spent := state.NewWindowStore("spent", serde.String, serde.JSON[Spend]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Sliding(window.Sliding(10*time.Second, time.Hour).Grace(time.Minute)).
		Aggregate(spent, Spend.Add, Spend.Merge).
		Stream().
		MapRecord(func(r stream.Record[window.Key[string], Spend]) string {
			w := r.Key.Window
			return fmt.Sprintf("%v: %d payments, %d cents", w.End.Sub(w.Start), r.Value.Payments, r.Value.Cents)
		}).
		Rekey("by-card", serde.String, serde.String, func(k window.Key[string], _ string) string { return k.Key }).
		To(Notes)

	d := pipe(b)
	d.Pipe(Payments, "card-1", Payment{Card: "card-1", Cents: 100}, noon.Add(20*time.Second))
	show(d, Notes)
	// Output:
	// card-1: 10s: 1 payments, 450 cents
	// card-1: 1h0m0s: 1 payments, 450 cents
	// card-2: 10s: 1 payments, 90000 cents
	// card-2: 1h0m0s: 1 payments, 90000 cents
	// card-1: 10s: 2 payments, 12450 cents
	// card-1: 1h0m0s: 2 payments, 12450 cents
	// card-1: 10s: 1 payments, 100 cents
	// card-1: 1h0m0s: 3 payments, 12550 cents
}
