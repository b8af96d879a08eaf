package stream_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

// A topic can be read and passed on as it is.
func ExampleBuilder_From() {
	b := stream.NewBuilder("example")
	payments := b.From(Payments)
	payments.Filter(Payment.Large).To(Large)
	payments.Filter(Payment.Foreign).To(Foreign)

	d := pipe(b)
	fmt.Println(len(d.Values(Large)), len(d.Values(Foreign)))
	// Output: 2 1
}

func ExampleStream_To() {
	b := stream.NewBuilder("example")
	b.From(Payments).Map(func(p Payment) int64 { return p.Cents }).To(Totals)

	show(pipe(b), Totals)
	// Output:
	// card-1: 450
	// card-2: 90000
	// card-1: 12000
}

// EventTime takes the time of a record from its value: here a payment's own, in place of when it was written.
func ExampleTopic_EventTime() {
	type Sale struct{ At time.Time }
	sales := stream.NewTopic("sales", serde.String, serde.JSON[Sale]()).EventTime(func(s Sale) time.Time { return s.At })

	b := stream.NewBuilder("example")
	b.From(sales).
		MapRecord(func(r stream.Record[string, Sale]) string { return r.Time.Format(time.TimeOnly) }).
		To(Notes)

	d := start(b)
	d.Pipe(sales, "card-1", Sale{noon}, noon.Add(time.Hour))
	show(d, Notes)
	// Output: card-1: 12:00:00
}

func ExampleStream_TryFilter() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		TryFilter(func(p Payment) (bool, error) {
			if p.Foreign() {
				return false, errors.New("no rate for this country")
			}
			return p.Cents > 100_00, nil
		}).
		Map(func(p Payment) int64 { return p.Cents }).
		To(Totals)

	d := pipe(b)
	fmt.Println(d.Values(Totals), len(d.DeadLetters()), "dead letter")
	// Output: [12000] 1 dead letter
}

func ExampleStream_FlatMapRecord() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		FlatMapRecord(func(r stream.Record[string, Payment]) []string {
			if !r.Value.Large() {
				return nil
			}
			return []string{r.Key + " at " + r.Time.Format(time.TimeOnly), r.Value.Shop}
		}).
		To(Notes)

	fmt.Printf("%q\n", pipe(b).Values(Notes))
	// Output: ["card-2 at 12:00:01" "jeweller" "card-1 at 12:00:02" "bakery"]
}

func ExampleStream_TryFlatMap() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		TryFlatMap(func(p Payment) ([]string, error) {
			if p.Foreign() {
				return nil, errors.New("no rate for this country")
			}
			return []string{p.Card, p.Shop}, nil
		}).
		To(Notes)

	d := pipe(b)
	fmt.Println(d.Values(Notes), len(d.DeadLetters()), "dead letter")
	// Output: [card-1 bakery card-1 bakery] 1 dead letter
}

// Peek and PeekRecord are for looking: what they do is not undone if the record fails further on.
func ExampleStream_PeekRecord() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		PeekRecord(func(r stream.Record[string, Payment]) {
			fmt.Printf("%s-%d@%d %s\n", r.Topic, r.Partition, r.Offset, r.Key)
		}).
		To(Large)

	pipe(b)
	// Output:
	// payments-0@0 card-1
	// payments-0@1 card-2
	// payments-0@2 card-1
}

func ExampleTable_MapRow() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		MapRow(func(card string, c Card) string { return fmt.Sprintf("%s may spend %d", card, c.Limit) }).
		To(Notes)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Delete(Cards, "card-1", noon)
	show(d, Notes)
	// Output:
	// card-1: card-1 may spend 500
	// card-1: null
}

// A table is written as its changes: a row that is gone as a tombstone.
func ExampleTable_To() {
	b := stream.NewBuilder("example")
	b.Table(Cards).Filter(func(c Card) bool { return c.Limit > 200 }).Map(func(c Card) int64 { return c.Limit }).To(Numbers)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Cards, "card-2", Card{"NL", 100}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 200}, noon)
	show(d, Numbers)
	// Output:
	// card-1: 500
	// card-1: null
}

// TableStore is the store that a table of the topic is kept in: for processors and queries that read it.
func ExampleTopic_TableStore() {
	cards := Cards.TableStore()

	b := stream.NewBuilder("example")
	b.Table(Cards)
	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	row, found := d.Get(cards, "card-1")
	fmt.Println(row.Value, found)
	// Output: {NL 500} true
}

// How many cards each country has: one that moves leaves its old group.
func ExampleGroupedTable_Count() {
	perCountry := state.NewTableStore("cards-per-country", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.Table(Cards).
		Rekey("by-country", serde.String, serde.JSON[Card](), func(_ string, c Card) string { return c.Country }).
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

// Several streams of different types feed one aggregate.
func ExampleCogrouped_With() {
	balance := state.NewTableStore("balance", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).Cogroup(func(sum int64, p Payment) int64 { return sum - p.Cents }).
		With(b.From(Numbers), func(sum, paidIn int64) int64 { return sum + paidIn }).
		Aggregate(balance).
		To(Totals)

	d := start(b)
	d.Pipe(Numbers, "card-1", 1000, noon)
	d.Pipe(Payments, "card-1", Payment{Cents: 450}, noon)
	show(d, Totals)
	// Output:
	// card-1: 1000
	// card-1: 550
}

// The aggregate of a cogroup is a table like any other: its rows are there to be asked for.
func ExampleCogrouped_Aggregate() {
	seen := state.NewTableStore("seen", serde.String, serde.Int64)

	b := stream.NewBuilder("example")
	b.From(Payments).Cogroup(func(n int64, _ Payment) int64 { return n + 1 }).
		With(b.From(Cards), func(n int64, _ Card) int64 { return n + 1 }).
		Aggregate(seen)

	d := pipe(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon.Add(time.Minute))
	for _, row := range d.Entries(seen) {
		fmt.Println(row.Key, row.Value.Value, row.Value.Time.Format(time.TimeOnly))
	}
	// Output:
	// card-1 3 12:01:00
	// card-2 1 12:00:01
}

// A global table is held whole by every instance. It is no input of tasks: what changes it brings nothing about.
func ExampleBuilder_GlobalTable() {
	shops := stream.NewTopic("shops", serde.String, serde.String)

	b := stream.NewBuilder("example")
	towns := b.GlobalTable(shops)
	b.From(Payments).
		LeftJoinGlobal(towns, func(_ string, p Payment) string { return p.Shop },
			func(p Payment, town stream.Optional[string]) string { return fmt.Sprint(p.Shop, " ", town.Present) }).
		To(Notes)

	d := start(b)
	d.Pipe(Payments, "card-1", Payment{Shop: "bakery"}, noon)
	d.Pipe(shops, "bakery", "Delft", noon)
	d.Pipe(Payments, "card-1", Payment{Shop: "bakery"}, noon)
	show(d, Notes)
	// Output:
	// card-1: bakery false
	// card-1: bakery true
}

// What comes too late for a join is not lost: here orders, as stream time is past their windows and the grace.
func ExampleJoined_LateLeft() {
	b := stream.NewBuilder("example")
	joined := b.From(Orders).
		JoinStream(b.From(Parcels), window.Within(time.Hour).Grace(time.Minute), sent,
			func(order, parcel string) string { return order + " in " + parcel })
	joined.To(Notes)
	joined.LateLeft().Map(func(order string) string { return "late: " + order }).To(Abroad)

	d := start(b)
	d.Pipe(Parcels, "customer-1", "parcel 7", noon.Add(3*time.Hour))
	d.Pipe(Orders, "customer-1", "a book", noon)
	show(d, Notes)
	show(d, Abroad)
	// Output: customer-1: late: a book
}
