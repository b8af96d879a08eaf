package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/csvfile"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// rowReader reads the rows of a file with their keys and times.
type rowReader struct {
	*csvfile.File
	key     []int // columns; nil for the whole row
	cards   []int // columns with card numbers
	edge    *pan.Edge
	clock   *clock
	scratch []byte
}

func openRows(o rowsOptions) (*rowReader, error) {
	csv, err := csvfile.Open(o.input, csvfile.Config{})
	if err != nil {
		return nil, err
	}
	r := &rowReader{File: csv, edge: o.edge()}
	if err := r.find(o); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", o.input, err), csv.Close())
	}
	return r, nil
}

// find looks for the columns that the options name.
func (r *rowReader) find(o rowsOptions) (err error) {
	if o.key != nil {
		if r.key, err = r.Columns(o.key...); err != nil {
			return fmt.Errorf("--key: %w", err)
		}
	}
	if r.cards, err = r.Columns(o.cards...); err != nil {
		return fmt.Errorf("--cards: %w", err)
	}
	first, _ := r.First()
	r.clock, err = newClock(o.timeColumn, r.Header(), first.Fields)
	return err
}

// Next returns the next row under its key. Its event time is zero if no column has one.
func (r *rowReader) Next() (ingest.Row[string], error) {
	row, err := r.File.Next()
	var bad *csvfile.RowError
	switch {
	case errors.As(err, &bad):
		return ingest.Row[string]{}, &ingest.BadRow{Line: bad.Line, Raw: bad.Raw, Err: bad.Err}
	case err != nil:
		return ingest.Row[string]{}, err
	}
	at, err := r.clock.read(row.Fields)
	if err != nil {
		return ingest.Row[string]{}, &ingest.BadRow{Line: row.Line, Raw: row.Raw, Err: err}
	}
	if err := r.hideCards(&row); err != nil {
		return ingest.Row[string]{}, err
	}
	return ingest.Row[string]{Line: row.Line, Key: r.keyOf(row), Value: string(row.Raw), Time: at}, nil
}

// hideCards puts tokens in the place of card numbers.
func (r *rowReader) hideCards(row *csvfile.Row) error {
	if len(r.cards) == 0 {
		return nil
	}
	for _, column := range r.cards {
		token, err := r.edge.Card(string(row.Fields[column]))
		if err != nil {
			return err
		}
		row.Fields[column] = []byte(token)
	}
	row.Raw = []byte(joinFields(row.Fields))
	return nil
}

// keyOf returns equal keys exactly for equal rows: the fields of one or more columns, or a hash of all fields. A row can be
// long, and the key is kept in the state.
func (r *rowReader) keyOf(row csvfile.Row) string {
	if r.key != nil {
		fields := make([][]byte, len(r.key))
		for i, column := range r.key {
			fields[i] = row.Fields[column]
		}
		return joinFields(fields)
	}
	r.scratch = r.scratch[:0]
	for _, field := range row.Fields {
		r.scratch = binary.AppendUvarint(r.scratch, uint64(len(field)))
		r.scratch = append(r.scratch, field...)
	}
	sum := sha256.Sum256(r.scratch)
	return hex.EncodeToString(sum[:])
}

// joinFields writes fields as a row of CSV: readable, and different for different fields.
func joinFields(fields [][]byte) string {
	var b strings.Builder
	for i, field := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		text := string(field)
		if strings.ContainsAny(text, "\",\n\r") {
			text = `"` + strings.ReplaceAll(text, `"`, `""`) + `"`
		}
		b.WriteString(text)
	}
	return b.String()
}

// clock reads the event time of a row.
type clock struct {
	column int // -1: none
	name   string
	parse  func(string) (time.Time, error)
}

// newClock finds the column for a --time, or without one the first column whose first field is a date.
func newClock(spec string, header []string, first [][]byte) (*clock, error) {
	if spec == "" {
		for i, field := range first {
			if _, err := parseDate(string(field)); err == nil {
				return &clock{i, header[i], parseDate}, nil
			}
		}
		return &clock{column: -1}, nil
	}
	name, unit, _ := strings.Cut(spec, ":")
	c := &clock{column: -1, name: name, parse: parseDate}
	switch {
	case unit == "s":
		c.parse = parseNumber(time.Second)
	case unit == "ms":
		c.parse = parseNumber(time.Millisecond)
	case unit != "":
		return nil, fmt.Errorf("--time %s: the unit is s or ms", spec)
	}
	for i, column := range header {
		if column == name {
			c.column = i
		}
	}
	if c.column < 0 {
		return nil, fmt.Errorf("--time: no column %s: the header has %s", name, strings.Join(header, ", "))
	}
	return c, nil
}

// read returns the row's event time: zero without a column.
func (c *clock) read(fields [][]byte) (time.Time, error) {
	if c.column < 0 {
		return time.Time{}, nil
	}
	at, err := c.parse(string(fields[c.column]))
	if err != nil {
		return time.Time{}, fmt.Errorf("column %s: %w", c.name, err)
	}
	return at, nil
}

// dateLayouts are the dates that are understood; without a zone they are UTC.
var dateLayouts = []string{time.DateTime, "2006-01-02T15:04:05", time.RFC3339, "2006-01-02 15:04", time.DateOnly}

func parseDate(s string) (time.Time, error) {
	for _, layout := range dateLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return since1970(t, s)
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date such as 2006-01-02 15:04:05; for a number name its unit, as in --time NAME:ms", s)
}

// parseNumber reads a whole number of units since 1970.
func parseNumber(unit time.Duration) func(string) (time.Time, error) {
	return func(s string) (time.Time, error) {
		var n int64
		for _, c := range []byte(s) {
			if c < '0' || c > '9' || n > 1e16 {
				return time.Time{}, fmt.Errorf("%q is not a time in whole units of %v since 1970", s, unit)
			}
			n = n*10 + int64(c-'0')
		}
		if s == "" || n > 253402300799*int64(time.Second/unit) {
			return time.Time{}, fmt.Errorf("%q is not a time in whole units of %v since 1970", s, unit)
		}
		return since1970(time.UnixMilli(n*int64(unit/time.Millisecond)), s)
	}
}

// since1970 keeps what the timestamp of a record can hold.
func since1970(t time.Time, s string) (time.Time, error) {
	if t.UnixMilli() < 0 {
		return time.Time{}, fmt.Errorf("%q lies before 1970", s)
	}
	return t.UTC().Truncate(time.Millisecond), nil
}
