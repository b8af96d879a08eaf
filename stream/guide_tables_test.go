package stream_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/window"
)

// The programs of the chapters on tables, joins, queries and changes in docs/guide.md. TestGuideIsCompiled holds the page against them.

type (
	Account  struct{ Owner, Country string }
	Transfer struct {
		Account string
		Cents   int64
		Bank    string
	}
	Owner  struct{ Name string }
	Bank   struct{ Country string }
	Review struct{ Verdict string }
)

func (t Transfer) Large() bool { return t.Cents > 1_000_00 }

var (
	Accounts  = stream.NewTopic("accounts", serde.String, serde.JSON[Account]())
	Transfers = stream.NewTopic("transfers", serde.String, serde.JSON[Transfer]())
	Reviews   = stream.NewTopic("reviews", serde.String, serde.JSON[Review]())
	Owners    = stream.NewTopic("owners", serde.String, serde.JSON[Owner]())
	Banks     = stream.NewTopic("banks", serde.String, serde.JSON[Bank]())
	Report    = stream.NewTopic("report", serde.String, serde.String)

	sentCents  = state.NewTableStore("sent-cents", serde.String, serde.Int64)
	perCountry = state.NewTableStore("accounts-per-country", serde.String, serde.Int64)
	named      = state.NewTableStore("accounts-with-owners", serde.String, serde.String)
	reviewed   = state.NewJoinStore("transfers-reviews", serde.String, serde.JSON[Transfer](), serde.JSON[Review]())
)

func Example_guideTables() {
	b := stream.NewBuilder("bank")
	accounts := b.Table(Accounts)
	transfers := b.From(Transfers)

	sent := transfers.Aggregate(sentCents, func(sum int64, t Transfer) int64 { return sum + t.Cents })
	sent.Filter(func(cents int64) bool { return cents > 10_000_00 }).
		Map(func(cents int64) string { return fmt.Sprintf("sent %d", cents/100) }).
		To(Report)

	accounts.
		Rekey("by-country", serde.String, Accounts.Value, func(_ string, a Account) string { return a.Country }).
		Count(perCountry)

	d := start(b)
	d.Pipe(Transfers, "account-1", Transfer{Cents: 9_000_00}, noon)
	d.Pipe(Transfers, "account-1", Transfer{Cents: 2_000_00}, noon)
	d.Pipe(Accounts, "account-1", Account{"Anna", "NL"}, noon)
	show(d, Report)
	n, _ := d.Get(perCountry, "NL")
	fmt.Println("accounts in NL:", n.Value)
	// Output:
	// account-1: sent 11000
	// accounts in NL: 1
}

func Example_guideJoins() {
	b := stream.NewBuilder("bank")
	accounts := b.Table(Accounts)
	transfers := b.From(Transfers)

	transfers.
		LeftJoin(accounts, func(t Transfer, a stream.Optional[Account]) string {
			if !a.Present {
				return "a transfer from an unknown account"
			}
			return "a transfer from " + a.Value.Country
		}).
		To(Report)

	transfers.
		JoinGlobal(b.GlobalTable(Banks),
			func(_ string, t Transfer) string { return t.Bank },
			func(t Transfer, to Bank) string { return "to " + to.Country }).
		To(Report)

	large := transfers.Filter(Transfer.Large)
	checked := large.LeftJoinStream(b.From(Reviews), window.Between(0, time.Hour).Grace(time.Minute), reviewed,
		func(t Transfer, r stream.Optional[Review]) string {
			if !r.Present {
				return "nobody looked at it"
			}
			return r.Value.Verdict
		})
	checked.To(Report)
	checked.LateRight().Map(func(r Review) string { return "too late: " + r.Verdict }).To(Report)

	accounts.
		JoinForeign(b.Table(Owners), func(a Account) string { return a.Owner }, named,
			func(a Account, o Owner) string { return o.Name + " in " + a.Country }).
		To(Report)

	d := start(b)
	d.Pipe(Banks, "bank-7", Bank{"BE"}, noon)
	d.Pipe(Transfers, "account-1", Transfer{Cents: 2_000_00, Bank: "bank-7"}, noon)
	d.Pipe(Owners, "anna", Owner{"Anna"}, noon)
	d.Pipe(Accounts, "account-1", Account{"anna", "NL"}, noon)
	d.Pipe(Transfers, "account-1", Transfer{Cents: 1_00}, noon.Add(2*time.Hour))
	d.Pipe(Reviews, "account-1", Review{"fine"}, noon.Add(time.Minute))
	show(d, Report)
	// Output:
	// account-1: a transfer from an unknown account
	// account-1: to BE
	// account-1: Anna in NL
	// account-1: nobody looked at it
	// account-1: a transfer from NL
	// account-1: too late: fine
}

func Example_guideQueries() {
	query := func(ctx context.Context, app *stream.App) error {
		sum, found, err := app.Get(ctx, sentCents, "account-1")
		var elsewhere *stream.NotOwnerError
		if errors.As(err, &elsewhere) {
			return fmt.Errorf("ask the instance at %s", elsewhere.Address)
		}
		if err != nil {
			return err
		}
		fmt.Println(sum.Value, found)

		for row, err := range app.All(ctx, perCountry) {
			if err != nil {
				return err
			}
			fmt.Println(row.Key, row.Value.Value)
		}
		return nil
	}
	serve := func(app *stream.App) {
		log.Fatal(http.ListenAndServe("10.0.0.1:8080", app.QueryHandler()))
	}
	_, _ = query, serve
}

// Every Go snippet of the guide stands in a file of tests of this package, so it compiles.
