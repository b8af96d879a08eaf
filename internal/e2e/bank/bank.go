package bank

import (
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Transfer moves money away from the account that is its key.
type Transfer struct {
	ID     int64
	To     string
	Amount int64
}

// Entry is a line in the ledger of an account, which is its key.
type Entry struct {
	Transfer int64
	Amount   int64 // negative for a debit
	Number   int64 // of the entry in its ledger, from 1
	Balance  int64 // after the entry
}

// The topics of the bank. The receiving account is in another task than the paying one, as a rule.
var (
	Transfers = stream.NewTopic("transfers", serde.String, serde.JSON[Transfer]())
	Debits    = stream.NewTopic("debits", serde.String, serde.JSON[Entry]())
	Credits   = stream.NewTopic("credits", serde.String, serde.JSON[Entry]())
)

var (
	paid     = state.NewKeyValueStore("paid", serde.String, serde.JSON[Entry]())
	received = state.NewKeyValueStore("received", serde.String, serde.JSON[Entry]())
)

// Topology debits the paying account, and credits the receiving one.
func Topology() (*stream.Topology, error) {
	b := stream.NewBuilder("bank")
	transfers := b.From(Transfers)
	transfers.Process("debit", book(paid, -1), paid).To(Debits)
	transfers.
		Rekey("by-receiver", serde.String, serde.JSON[Transfer](), func(_ string, t Transfer) string { return t.To }).
		Process("credit", book(received, 1), received).
		To(Credits)
	return b.Build()
}

func book(ledger state.KeyValueStore[string, Entry], sign int64) func(*stream.Context[string, Entry], stream.Record[string, Transfer]) error {
	return func(c *stream.Context[string, Entry], r stream.Record[string, Transfer]) error {
		last, _, err := ledger.In(c).Get(r.Key)
		if err != nil {
			return err
		}
		next := last.Next(r.Value, sign)
		if err := ledger.In(c).Put(r.Key, next); err != nil {
			return err
		}
		return c.Forward(r.Key, next)
	}
}

// Next is the entry that follows e in its ledger.
func (e Entry) Next(t Transfer, sign int64) Entry {
	return Entry{Transfer: t.ID, Amount: sign * t.Amount, Number: e.Number + 1, Balance: e.Balance + sign*t.Amount}
}
