package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/pan"
)

const generateUsage = `usage: frauddetect generate --days N [flags]

Writes made-up payments as a CSV file, in the columns that frauddetect --input reads; with --duplicates in those that dedup payments
reads, in the order of their arrival, with the class of each. Equal flags make equal files.

`

// generateOptions are the command line of "frauddetect generate".
type generateOptions struct {
	generator   generator.Config
	days        int
	duplicates  bool
	cardNumbers bool
	out         string // standard output if it is empty
}

func parseGenerateOptions(args []string, out io.Writer) (o generateOptions, err error) {
	f := newFlags("frauddetect generate", generateUsage, out)
	f.IntVar(&o.days, "days", 0, "number of `days`")
	f.BoolVar(&o.duplicates, "duplicates", false, "make some payments come twice")
	f.BoolVar(&o.cardNumbers, "card-numbers", false, "write card numbers of a test range in place of customers' numbers")
	f.StringVar(&o.out, "out", "", "write to this `file`, gzipped if its name ends in .gz (default: standard output)")
	generatorFlags(f, &o.generator)
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: a file is given by --out", f.Arg(0))
	}
	if o.days < 1 {
		return o, errors.New("--days wants the number of days, at least 1")
	}
	_, err = generator.New(o.generator)
	return o, err
}

func runGenerate(ctx context.Context, o generateOptions, stdout io.Writer) error {
	if o.out == "" {
		return o.write(ctx, stdout)
	}
	return writeFile(o.out, func(w io.Writer) error {
		if !strings.HasSuffix(o.out, ".gz") {
			return o.write(ctx, w)
		}
		zipped := gzip.NewWriter(w)
		return errors.Join(o.write(ctx, zipped), zipped.Close())
	})
}

// write writes the rows up to the end of the last day.
func (o generateOptions) write(ctx context.Context, w io.Writer) error {
	g, err := generator.New(o.generator)
	if err != nil {
		return err
	}
	end := g.Config().Start.AddDate(0, 0, o.days)
	buffered := bufio.NewWriter(w)
	rows := csv.NewWriter(buffered)
	header, next := o.transactions(g)
	if o.duplicates {
		header, next = o.arrivals(g)
	}
	err = rows.Write(header)
	for err == nil && ctx.Err() == nil {
		t, row := next()
		if !t.Time.Before(end) {
			break
		}
		err = rows.Write(row)
	}
	rows.Flush()
	return errors.Join(err, rows.Error(), buffered.Flush(), context.Cause(ctx))
}

func (o generateOptions) transactions(g *generator.Generator) (header []string, next func() (payment.Transaction, []string)) {
	header = append(payment.Columns(), payment.ColumnScenario)
	return header, func() (payment.Transaction, []string) {
		t := g.Next()
		return t, []string{
			strconv.FormatInt(t.ID, 10), t.Time.Format("2006-01-02 15:04:05"), o.card(t.Card), t.Terminal,
			o.amount(t.Amount), strconv.Itoa(int(t.Scenario)),
		}
	}
}

func (o generateOptions) arrivals(g *generator.Generator) (header []string, next func() (payment.Transaction, []string)) {
	arrivals := generator.NewArrivals(g)
	header = []string{"arrival_ms", "event_id", "event_ms", "card", "terminal", "amount_cents", "class", "orig_event_id"}
	return header, func() (payment.Transaction, []string) {
		a := arrivals.Next()
		t := a.Transaction
		t.Time = a.Arrived // it ends the days
		return t, []string{
			strconv.FormatInt(a.Arrived.UnixMilli(), 10), "t" + strconv.FormatInt(a.ID, 10), strconv.FormatInt(a.Time.UnixMilli(), 10),
			o.card(t.Card), t.Terminal, strconv.FormatInt(int64(t.Amount), 10), string(a.Class), "t" + strconv.FormatInt(a.Original, 10),
		}
	}
}

// amount has decimals where the currency has.
func (o generateOptions) amount(c payment.Cents) string {
	if o.generator.Profile == generator.Korea {
		return strconv.FormatInt(int64(c)/100, 10)
	}
	return c.String()
}

// testRange begins numbers that networks give out for tests.
const testRange = "400000"

// card is the customer's number, or a card number made of it.
func (o generateOptions) card(customer string) string {
	if !o.cardNumbers {
		return customer
	}
	n, err := strconv.ParseUint(customer, 10, 32)
	if err != nil {
		n = 999_999_999 // the card that is blocked
	}
	return pan.WithCheckDigit(testRange + fmt.Sprintf("%09d", n))
}
