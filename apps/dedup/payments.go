package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/csvfile"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// paymentReader reads the rows of a file as payments.
type paymentReader struct {
	*csvfile.File
	id, card, terminal int
	amount             int
	minor              bool // the amount is in minor units
	label              int  // -1: none
	edge               *pan.Edge
	at, arrival        *clock
	byArrival          bool // which of the two is the time of the record
}

func openPayments(o paymentsOptions) (*paymentReader, error) {
	csv, err := csvfile.Open(o.input, csvfile.Config{})
	if err != nil {
		return nil, err
	}
	r := &paymentReader{File: csv, label: -1, edge: o.edge(), byArrival: o.ttlTime == "arrival" && o.columns.arrival != ""}
	if err := r.find(o.columns); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: --columns: %w", o.input, err), csv.Close())
	}
	return r, nil
}

func (r *paymentReader) find(c paymentColumns) (err error) {
	amount, unit, _ := strings.Cut(c.amount, ":")
	if unit != "" && unit != "minor" {
		return fmt.Errorf("amount=%s: the unit is minor, or none", c.amount)
	}
	r.minor = unit == "minor"
	at, err := r.Columns(c.id, c.card, c.terminal, amount)
	if err != nil {
		return err
	}
	r.id, r.card, r.terminal, r.amount = at[0], at[1], at[2], at[3]
	if c.label != "" {
		if at, err = r.Columns(c.label); err != nil {
			return err
		}
		r.label = at[0]
	}
	first, _ := r.First()
	if r.at, err = newClock(c.at, r.Header(), first.Fields); err != nil {
		return err
	}
	if c.arrival != "" {
		r.arrival, err = newClock(c.arrival, r.Header(), first.Fields)
	}
	return err
}

// Next returns the next payment under its card. Its time is that in which ids are forgotten.
func (r *paymentReader) Next() (ingest.Row[Payment], error) {
	row, err := r.File.Next()
	var bad *csvfile.RowError
	switch {
	case errors.As(err, &bad):
		return ingest.Row[Payment]{}, &ingest.BadRow{Line: bad.Line, Raw: bad.Raw, Err: bad.Err}
	case err != nil:
		return ingest.Row[Payment]{}, err
	}
	p, at, err := r.parse(row.Fields)
	if err != nil {
		return ingest.Row[Payment]{}, &ingest.BadRow{Line: row.Line, Raw: row.Raw, Err: err}
	}
	if p.Card, err = r.edge.Card(p.Card); err != nil {
		return ingest.Row[Payment]{}, err
	}
	return ingest.Row[Payment]{Line: row.Line, Key: p.Card, Value: p, Time: at}, nil
}

func (r *paymentReader) parse(fields [][]byte) (p Payment, at time.Time, err error) {
	p = Payment{ID: string(fields[r.id]), Card: string(fields[r.card]), Terminal: string(fields[r.terminal])}
	if p.Card == "" {
		return p, at, errors.New("no card: a payment needs one")
	}
	if p.Amount, err = parseAmount(fields[r.amount], r.minor); err != nil {
		return p, at, err
	}
	if p.At, err = r.at.read(fields); err != nil {
		return p, at, err
	}
	if r.label >= 0 {
		p.Label = string(fields[r.label])
	}
	if !r.byArrival {
		return p, p.At, nil
	}
	at, err = r.arrival.read(fields)
	return p, at, err
}

// parseAmount reads whole minor units, or units with at most two decimals. Money is never a floating-point number.
func parseAmount(b []byte, minor bool) (int64, error) {
	whole, decimals, _ := bytes.Cut(b, []byte("."))
	if minor && len(whole) != len(b) || !minor && len(decimals) > 2 {
		return 0, fmt.Errorf("amount %q: want %s", b, amountForm(minor))
	}
	n, err := strconv.ParseInt(string(whole), 10, 64)
	if err != nil || minor {
		if err != nil {
			err = fmt.Errorf("amount %q: want %s", b, amountForm(minor))
		}
		return n, err
	}
	cents := int64(0)
	if len(decimals) > 0 {
		c, err := strconv.ParseUint(string(append(decimals, '0')[:2]), 10, 8)
		if err != nil {
			return 0, fmt.Errorf("amount %q: want %s", b, amountForm(minor))
		}
		cents = int64(c)
	}
	if n > math.MaxInt64/100-1 || n < -(math.MaxInt64/100-1) {
		return 0, fmt.Errorf("amount %q is too large", b)
	}
	if whole[0] == '-' {
		cents = -cents
	}
	return n*100 + cents, nil
}

func amountForm(minor bool) string {
	if minor {
		return "a whole number of minor units, such as 1250"
	}
	return "a number with at most two decimals, such as 12.50"
}
