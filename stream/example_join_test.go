package stream_test

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
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

// Rows are joined with the rows of another table that they name: many with one.
func ExampleTable_JoinForeign() {
	customers := stream.NewTopic("customers", serde.String, serde.String)
	orders := stream.NewTopic("orders-by-id", serde.String, serde.String) // the value is the customer
	invoices := state.NewTableStore("invoices", serde.String, serde.String)

	b := stream.NewBuilder("example")
	b.Table(orders).
		JoinForeign(b.Table(customers), func(customer string) string { return customer }, invoices,
			func(customer, address string) string { return customer + ", " + address }).
		To(Notes)

	d := start(b)
	d.Pipe(orders, "order-1", "Anna", noon)
	d.Pipe(orders, "order-2", "Anna", noon)
	d.Pipe(customers, "Anna", "Delft", noon)
	d.Pipe(customers, "Anna", "Ghent", noon)
	d.Delete(orders, "order-1", noon)
	show(d, Notes)
	// Output:
	// order-1: Anna, Delft
	// order-2: Anna, Delft
	// order-1: Anna, Ghent
	// order-2: Anna, Ghent
	// order-1: null
}

func ExampleTable_LeftJoinForeign() {
	customers := stream.NewTopic("customers", serde.String, serde.String)
	orders := stream.NewTopic("orders-by-id", serde.String, serde.String)
	invoices := state.NewTableStore("invoices", serde.String, serde.String)

	b := stream.NewBuilder("example")
	b.Table(orders).
		LeftJoinForeign(b.Table(customers), func(customer string) string { return customer }, invoices,
			func(customer string, address stream.Optional[string]) string {
				return fmt.Sprint(customer, " known: ", address.Present)
			}).
		To(Notes)

	d := start(b)
	d.Pipe(orders, "order-1", "Anna", noon)
	d.Pipe(customers, "Anna", "Delft", noon)
	show(d, Notes)
	// Output:
	// order-1: Anna known: false
	// order-1: Anna known: true
}

var (
	Orders  = stream.NewTopic("orders", serde.String, serde.String)
	Parcels = stream.NewTopic("parcels", serde.String, serde.String)
	sent    = state.NewJoinStore("orders-parcels", serde.String, serde.String, serde.String)
)

// Records of two streams that lie near each other in time are joined, whichever comes first.
func ExampleStream_JoinStream() {
	b := stream.NewBuilder("example")
	b.From(Orders).
		JoinStream(b.From(Parcels), window.Within(time.Hour).Grace(time.Minute), sent,
			func(order, parcel string) string { return order + " in " + parcel }).
		To(Notes)

	d := start(b)
	d.Pipe(Orders, "customer-1", "a book", noon)
	d.Pipe(Parcels, "customer-1", "parcel 7", noon.Add(time.Hour))
	d.Pipe(Parcels, "customer-1", "parcel 8", noon.Add(2*time.Hour))
	show(d, Notes)
	// Output: customer-1: a book in parcel 7
}

// What nothing was joined with is known when its window has closed.
func ExampleStream_LeftJoinStream() {
	b := stream.NewBuilder("example")
	b.From(Orders).
		LeftJoinStream(b.From(Parcels), window.Between(0, time.Hour).Grace(time.Minute), sent,
			func(order string, parcel stream.Optional[string]) string {
				if !parcel.Present {
					return order + " was not sent"
				}
				return order + " in " + parcel.Value
			}).
		To(Notes)

	d := start(b)
	d.Pipe(Orders, "customer-1", "a book", noon)
	d.Pipe(Orders, "customer-2", "a lamp", noon)
	d.Pipe(Parcels, "customer-1", "parcel 7", noon.Add(10*time.Minute))
	d.Pipe(Orders, "customer-3", "a pen", noon.Add(62*time.Minute))
	show(d, Notes)
	// Output:
	// customer-1: a book in parcel 7
	// customer-2: a lamp was not sent
}

func ExampleStream_OuterJoinStream() {
	b := stream.NewBuilder("example")
	b.From(Orders).
		OuterJoinStream(b.From(Parcels), window.Within(time.Hour).Grace(0), sent,
			func(order, parcel stream.Optional[string]) string {
				return fmt.Sprintf("ordered %t, sent %t", order.Present, parcel.Present)
			}).
		To(Notes)

	d := start(b)
	d.Pipe(Orders, "customer-1", "a book", noon)
	d.Pipe(Parcels, "customer-2", "parcel 7", noon)
	d.Pipe(Orders, "customer-3", "a pen", noon.Add(2*time.Hour))
	show(d, Notes)
	// Output:
	// customer-1: ordered true, sent false
	// customer-2: ordered false, sent true
}

// Records that came too late to be joined are a stream of their own.
func ExampleJoined_LateRight() {
	b := stream.NewBuilder("example")
	joined := b.From(Orders).
		JoinStream(b.From(Parcels), window.Within(time.Hour).Grace(time.Minute), sent,
			func(order, parcel string) string { return order + " in " + parcel })
	joined.To(Notes)
	joined.LateRight().Map(func(parcel string) string { return "late: " + parcel }).To(Abroad)

	d := start(b)
	d.Pipe(Orders, "customer-1", "a book", noon)
	d.Pipe(Orders, "customer-2", "a lamp", noon.Add(3*time.Hour))
	d.Pipe(Parcels, "customer-1", "parcel 7", noon)
	show(d, Notes)
	show(d, Abroad)
	// Output: customer-1: late: parcel 7
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
