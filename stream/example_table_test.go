package stream_test

import (
	"fmt"
	"log"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// Card is a row of the table of the examples.
type Card struct {
	Country string
	Limit   int64
}

var (
	Cards   = stream.NewTopic("cards", serde.String, serde.JSON[Card]())
	Abroad  = stream.NewTopic("abroad", serde.String, serde.String)
	Numbers = stream.NewTopic("numbers", serde.String, serde.Int64)
)

// start runs a topology without a broker.
func start(b *stream.Builder) *streamtest.Driver {
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	return streamtest.New(example{}, topology)
}

// show prints what was written to a topic since it was last asked: null is shown as such.
func show[V any](d *streamtest.Driver, t stream.Topic[string, V]) {
	for _, r := range d.ReadBytes(t.Name) {
		if r.Value == nil {
			fmt.Printf("%s: null\n", r.Key)
			continue
		}
		v, err := t.Value.Decode(r.Value)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %v\n", r.Key, v)
	}
}

// A table is of each key the latest value. A null, a tombstone, deletes a row.
func ExampleBuilder_Table() {
	b := stream.NewBuilder("example")
	cards := b.Table(Cards)
	cards.To(stream.NewTopic("copy", serde.String, serde.JSON[Card]()))

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-2", Card{"BE", 100}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 900}, noon)
	d.Delete(Cards, "card-2", noon)
	for _, e := range d.Entries(Cards.TableStore()) {
		fmt.Println(e.Key, e.Value.Value)
	}
	// Output: card-1 {NL 900}
}

// The store of a table may have another name than its topic.
func ExampleBuilder_TableIn() {
	limits := state.NewTableStore("card-limits", serde.String, serde.JSON[Card]())

	b := stream.NewBuilder("example")
	b.TableIn(Cards, limits)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	card, _ := d.Get(limits, "card-1")
	fmt.Println(card.Value, card.Time.Format(time.TimeOnly))
	// Output: {NL 500} 12:00:00
}

// A row that no longer passes is deleted from what follows.
func ExampleTable_Filter() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		Filter(func(c Card) bool { return c.Country != "NL" }).
		Map(func(c Card) string { return c.Country }).
		To(Abroad)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-1", Card{"BE", 500}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	show(d, Abroad)
	// Output:
	// card-1: BE
	// card-1: null
}

func ExampleTable_FilterRow() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		FilterRow(func(card string, c Card) bool { return card != "test-card" }).
		MapRow(func(card string, c Card) string { return card + " of " + c.Country }).
		To(Notes)

	d := start(b)
	d.Pipe(Cards, "test-card", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	show(d, Notes)
	// Output: card-1: card-1 of NL
}

func ExampleTable_Map() {
	b := stream.NewBuilder("example")
	b.Table(Cards).Map(func(c Card) int64 { return c.Limit }).To(Numbers)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Delete(Cards, "card-1", noon)
	show(d, Numbers)
	// Output:
	// card-1: 500
	// card-1: null
}

func ExampleTable_Stream() {
	b := stream.NewBuilder("example")
	b.Table(Cards).Stream().Map(func(c Card) int64 { return c.Limit }).To(Numbers)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 900}, noon)
	d.Delete(Cards, "card-1", noon) // a Card has no room for null: the stream does not show it
	show(d, Numbers)
	// Output:
	// card-1: 500
	// card-1: 900
}

// Changes show what a row was before, and deletes.
func ExampleTable_Changes() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		Changes(func(c stream.Change[Card]) string {
			switch {
			case !c.Old.Present:
				return "issued in " + c.New.Value.Country
			case !c.New.Present:
				return "withdrawn"
			}
			return fmt.Sprintf("limit raised by %d", c.New.Value.Limit-c.Old.Value.Limit)
		}).
		To(Notes)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 900}, noon)
	d.Delete(Cards, "card-1", noon)
	show(d, Notes)
	// Output:
	// card-1: issued in NL
	// card-1: limit raised by 400
	// card-1: withdrawn
}

// What was computed can be kept, so that it can be queried.
func ExampleTable_Materialize() {
	limits := state.NewTableStore("limits", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.Table(Cards).Map(func(c Card) int64 { return c.Limit }).Materialize(limits)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	row, _ := d.Get(limits, "card-1")
	fmt.Println(row.Value)
	// Output: 500
}

// The rows of a table, counted by something else than their key. A row that changes leaves its old group.
func ExampleTable_Rekey() {
	perCountry := state.NewTableStore("cards-per-country", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.Table(Cards).
		Rekey("by-country", serde.String, Cards.Value, func(_ string, c Card) string { return c.Country }).
		Count(perCountry).
		To(Numbers)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-2", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-1", Card{"BE", 500}, noon)
	show(d, Numbers)
	// Output:
	// NL: 1
	// NL: 2
	// NL: 1
	// BE: 1
}

// What enters a group is added, what leaves it is taken away again.
func ExampleGroupedTable_Aggregate() {
	limits := state.NewTableStore("limits-per-country", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.Table(Cards).
		Rekey("by-country", serde.String, Cards.Value, func(_ string, c Card) string { return c.Country }).
		Aggregate(limits,
			func(sum int64, c Card) int64 { return sum + c.Limit },
			func(sum int64, c Card) int64 { return sum - c.Limit }).
		To(Numbers)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-2", Card{"NL", 200}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 900}, noon)
	d.Delete(Cards, "card-2", noon)
	show(d, Numbers)
	// Output:
	// NL: 500
	// NL: 700
	// NL: 1100
	// NL: 900
}

func ExampleGroupedTable_Reduce() {
	limits := state.NewTableStore("limits-per-parity", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.Table(Numbers).
		Rekey("by-parity", serde.String, serde.Int64, func(_ string, n int64) string { return []string{"even", "odd"}[n%2] }).
		Reduce(limits,
			func(sum, n int64) int64 { return sum + n },
			func(sum, n int64) int64 { return sum - n }).
		To(Totals)

	d := start(b)
	d.Pipe(Numbers, "a", 2, noon)
	d.Pipe(Numbers, "b", 4, noon)
	d.Pipe(Numbers, "a", 3, noon)
	show(d, Totals)
	// Output:
	// even: 2
	// even: 6
	// even: 4
	// odd: 3
}

func ExampleStream_Count() {
	payments := state.NewTableStore("payments-per-card", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).Count(payments).To(Numbers)

	show(pipe(b), Numbers)
	// Output:
	// card-1: 1
	// card-2: 1
	// card-1: 2
}

func ExampleStream_Reduce() {
	largest := state.NewTableStore("largest", serde.String, serde.JSON[Payment]())

	b := stream.NewBuilder("example")
	b.From(Payments).
		Reduce(largest, func(most, p Payment) Payment {
			if p.Cents > most.Cents {
				return p
			}
			return most
		}).
		Map(func(p Payment) int64 { return p.Cents }).
		To(Numbers)

	show(pipe(b), Numbers)
	// Output:
	// card-1: 450
	// card-2: 90000
	// card-1: 12000
}

func ExampleStream_Aggregate() {
	spent := state.NewTableStore("spent", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).
		Aggregate(spent, func(cents int64, p Payment) int64 { return cents + p.Cents }).
		To(Numbers)

	show(pipe(b), Numbers)
	// Output:
	// card-1: 450
	// card-2: 90000
	// card-1: 12450
}

// A card that pays often is reported once in ten seconds.
func ExampleTable_Suppress() {
	spent := state.NewTableStore("spent", serde.String, serde.Int64)
	quiet := state.NewSuppressStore("quiet", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).
		Aggregate(spent, func(cents int64, p Payment) int64 { return cents + p.Cents }).
		Suppress(quiet, stream.Suppressed{TimeLimit: 10 * time.Second, MaxRecords: 10_000}).
		To(Numbers)

	d := pipe(b)
	d.Advance(noon.Add(time.Minute))
	show(d, Numbers)
	// Output:
	// card-1: 12450
	// card-2: 90000
}

// Several streams of one key go into one aggregate, each with its own type and function.
func ExampleStream_Cogroup() {
	type Day struct{ Spent, Limit int64 }
	days := state.NewTableStore("days", serde.String, serde.JSON[Day]())

	b := stream.NewBuilder("example")
	b.From(Payments).Cogroup(func(d Day, p Payment) Day { d.Spent += p.Cents; return d }).
		With(b.From(Cards), func(d Day, c Card) Day { d.Limit = c.Limit; return d }).
		Aggregate(days).
		Map(func(d Day) string { return fmt.Sprintf("%d of %d", d.Spent, d.Limit) }).
		To(Notes)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Payments, "card-1", Payment{Cents: 120}, noon.Add(time.Second))
	show(d, Notes)
	// Output:
	// card-1: 0 of 500
	// card-1: 120 of 500
}
