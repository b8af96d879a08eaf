package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/csvfile"
	"github.com/riffle-stream/riffle/apps/internal/ingest"
	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// paymentRow is one row of a source.
type paymentRow = ingest.Row[payment.Transaction]

// source gives payments in an order that is the same each time.
type source interface {
	// Name is the same exactly if the rows are.
	Name() string
	// Next returns io.EOF at the end, and an *ingest.BadRow for a row that does not parse.
	Next() (paymentRow, error)
	// Progress is how much has been read, from 0 to 1; negative if there is no end.
	Progress() float64
	Close() error
}

func openSource(o options) (source, error) {
	if o.generate {
		return newGenerated(o.generator)
	}
	return openFile(o.input, o.edge())
}

// limited ends a source behind a line.
type limited struct {
	source
	line int64
}

func (l limited) Next() (paymentRow, error) {
	row, err := l.source.Next()
	var bad *ingest.BadRow
	if err == nil && row.Line > l.line || errors.As(err, &bad) && bad.Line > l.line {
		return paymentRow{}, io.EOF
	}
	return row, err
}

// file is a CSV file.
type file struct {
	*csvfile.File
	parser *payment.Parser
	edge   *pan.Edge
}

func openFile(path string, edge *pan.Edge) (*file, error) {
	csv, err := csvfile.Open(path, csvfile.Config{})
	if err != nil {
		return nil, err
	}
	parser, err := payment.NewParser(csv)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), csv.Close())
	}
	return &file{csv, parser, edge}, nil
}

func (f *file) Name() string { return f.Identity() }

func (f *file) Next() (paymentRow, error) {
	row, err := f.File.Next()
	var bad *csvfile.RowError
	switch {
	case errors.As(err, &bad):
		return paymentRow{}, &ingest.BadRow{Line: bad.Line, Raw: bad.Raw, Err: bad.Err}
	case err != nil:
		return paymentRow{}, err
	}
	tx, err := f.parser.Parse(row.Fields)
	if err != nil {
		return paymentRow{}, &ingest.BadRow{Line: row.Line, Raw: row.Raw, Err: err}
	}
	if tx.Card, err = f.edge.Card(tx.Card); err != nil {
		return paymentRow{}, err
	}
	return paymentRow{Line: row.Line, Key: tx.Card, Value: tx, Time: tx.Time}, nil
}

// generated is the endless source.
type generated struct {
	generator *generator.Generator
	name      string
}

func newGenerated(cfg generator.Config) (*generated, error) {
	g, err := generator.New(cfg)
	if err != nil {
		return nil, err
	}
	cfg = g.Config()
	name := fmt.Sprintf("generator (seed %d, %d customers, %d terminals", cfg.Seed, cfg.Customers, cfg.Terminals)
	if cfg.Profile != generator.Europe {
		name += ", profile " + string(cfg.Profile)
	}
	if cfg.Cases > 0 {
		name += fmt.Sprintf(", %d cases", cfg.Cases)
	}
	return &generated{g, name + ")"}, nil
}

func (g *generated) Name() string    { return g.name }
func (*generated) Progress() float64 { return -1 }
func (*generated) Close() error      { return nil }
func (g *generated) Next() (paymentRow, error) {
	tx := g.generator.Next()
	return paymentRow{Line: tx.ID + 1, Key: tx.Card, Value: tx, Time: tx.Time}, nil
}
