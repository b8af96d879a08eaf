package stream_test

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// A record is joined with the row that its key has at that moment.
func ExampleStream_Join() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		Join(b.Table(Cards), func(p Payment, c Card) string {
			return fmt.Sprintf("%d in %s, issued in %s", p.Cents, p.Country, c.Country)
		}).
		To(Notes)

	d := start(b)
	d.Pipe(Payments, "card-1", Payment{Cents: 100, Country: "BE"}, noon) // no card yet: no result
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon.Add(time.Second))
	d.Pipe(Payments, "card-1", Payment{Cents: 200, Country: "BE"}, noon.Add(2*time.Second))
	show(d, Notes)
	// Output: card-1: 200 in BE, issued in NL
}

func ExampleStream_LeftJoin() {
	b := stream.NewBuilder("example")
	b.From(Payments).
		LeftJoin(b.Table(Cards), func(p Payment, c stream.Optional[Card]) string {
			if !c.Present {
				return "unknown card"
			}
			return "issued in " + c.Value.Country
		}).
		To(Notes)

	d := start(b)
	d.Pipe(Payments, "card-1", Payment{Cents: 100}, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon.Add(time.Second))
	d.Pipe(Payments, "card-1", Payment{Cents: 200}, noon.Add(2*time.Second))
	show(d, Notes)
	// Output:
	// card-1: unknown card
	// card-1: issued in NL
}

// A global table is at hand whole in every instance: a record of any key looks into it.
func ExampleStream_JoinGlobal() {
	shops := stream.NewTopic("shops", serde.String, serde.String)

	b := stream.NewBuilder("example")
	b.From(Payments).
		JoinGlobal(b.GlobalTable(shops),
			func(_ string, p Payment) string { return p.Shop },
			func(p Payment, town string) string { return p.Shop + " in " + town }).
		To(Notes)

	d := start(b)
	d.Pipe(shops, "bakery", "Delft", noon)
	d.Pipe(Payments, "card-1", Payment{Shop: "bakery"}, noon)
	d.Pipe(Payments, "card-1", Payment{Shop: "jeweller"}, noon)
	show(d, Notes)
	// Output: card-1: bakery in Delft
}

func ExampleStream_LeftJoinGlobal() {
	shops := stream.NewTopic("shops", serde.String, serde.String)

	b := stream.NewBuilder("example")
	b.From(Payments).
		LeftJoinGlobal(b.GlobalTable(shops),
			func(_ string, p Payment) string { return p.Shop },
			func(p Payment, town stream.Optional[string]) string {
				return fmt.Sprint(p.Shop, " known: ", town.Present)
			}).
		To(Notes)

	d := start(b)
	d.Pipe(shops, "bakery", "Delft", noon)
	d.Pipe(Payments, "card-1", Payment{Shop: "bakery"}, noon)
	d.Pipe(Payments, "card-1", Payment{Shop: "jeweller"}, noon)
	show(d, Notes)
	// Output:
	// card-1: bakery known: true
	// card-1: jeweller known: false
}

// The result of two tables is a table: it follows both, and loses a row with either half.
func ExampleTable_Join() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		Join(b.Table(Numbers), func(c Card, spent int64) string { return fmt.Sprintf("%d of %d", spent, c.Limit) }).
		To(Notes)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Numbers, "card-1", 120, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 900}, noon)
	d.Delete(Cards, "card-1", noon)
	show(d, Notes)
	// Output:
	// card-1: 120 of 500
	// card-1: 120 of 900
	// card-1: null
}

func ExampleTable_LeftJoin() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		LeftJoin(b.Table(Numbers), func(c Card, spent stream.Optional[int64]) string {
			return fmt.Sprintf("%d of %d", spent.Value, c.Limit)
		}).
		To(Notes)

	d := start(b)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Pipe(Numbers, "card-1", 120, noon)
	d.Delete(Numbers, "card-1", noon)
	show(d, Notes)
	// Output:
	// card-1: 0 of 500
	// card-1: 120 of 500
	// card-1: 0 of 500
}

func ExampleTable_OuterJoin() {
	b := stream.NewBuilder("example")
	b.Table(Cards).
		OuterJoin(b.Table(Numbers), func(c stream.Optional[Card], spent stream.Optional[int64]) string {
			return fmt.Sprintf("card %t, spent %t", c.Present, spent.Present)
		}).
		To(Notes)

	d := start(b)
	d.Pipe(Numbers, "card-1", 120, noon)
	d.Pipe(Cards, "card-1", Card{"NL", 500}, noon)
	d.Delete(Numbers, "card-1", noon)
	d.Delete(Cards, "card-1", noon)
	show(d, Notes)
	// Output:
	// card-1: card false, spent true
	// card-1: card true, spent true
	// card-1: card true, spent false
	// card-1: null
}
