package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/apps/internal/csvfile"
	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// tolerance is how far a number may be off and still count as equal.
const tolerance = 1e-6

// expectation is a file of features or scores that somebody else computed.
type expectation struct {
	path    string
	columns []string
	values  []func(*features.Vector, []float64) float64 // what each column is compared with
	rows    map[int64][]float64                         // by transaction

	seen  int
	worst float64
	off   []deviant
	ties  map[moment]bool // of all payments
	last  map[string]time.Time
}

// moment is a card at a time.
type moment struct {
	card string
	time time.Time
}

// deviant is a payment with a number that is off.
type deviant struct {
	id int64
	at moment
}

// readExpectation reads the columns that are features or models.
func readExpectation(path string, models []scoring.Model) (x *expectation, err error) {
	file, err := csvfile.Open(path, csvfile.Config{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	x = &expectation{
		path: path, rows: make(map[int64][]float64), ties: make(map[moment]bool), last: make(map[string]time.Time),
	}
	id := -1
	var at []int
	for i, name := range file.Header() {
		feature := slices.Index(features.Names(), name)
		model := slices.IndexFunc(models, func(m scoring.Model) bool { return m.Name() == name })
		switch {
		case name == "TRANSACTION_ID" || name == "id":
			id = i
			continue
		case feature >= 0:
			x.values = append(x.values, func(v *features.Vector, _ []float64) float64 { return v[feature] })
		case model >= 0:
			x.values = append(x.values, func(_ *features.Vector, scores []float64) float64 { return scores[model] })
		default:
			continue
		}
		x.columns, at = append(x.columns, name), append(at, i)
	}
	if id < 0 || len(at) == 0 {
		return nil, fmt.Errorf("%s: want a column TRANSACTION_ID or id, and columns that are called like a feature or a model", path)
	}
	for {
		row, err := file.Next()
		if errors.Is(err, io.EOF) {
			return x, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		n, err := strconv.ParseInt(string(row.Fields[id]), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %q is not a transaction's number", path, row.Line, row.Fields[id])
		}
		values := make([]float64, len(at))
		for i, column := range at {
			if values[i], err = strconv.ParseFloat(string(row.Fields[column]), 64); err != nil {
				return nil, fmt.Errorf("%s, line %d, column %s: %q is not a number", path, row.Line, x.columns[i], row.Fields[column])
			}
		}
		x.rows[n] = values
	}
}

// compare holds a payment against the file. The payments of a card come in order of time.
func (x *expectation) compare(s *Score) {
	at := moment{s.Card, s.Time}
	if before, ok := x.last[s.Card]; ok && before.Equal(s.Time) {
		x.ties[at] = true
	}
	x.last[s.Card] = s.Time
	want, ok := x.rows[s.ID]
	if !ok {
		return
	}
	x.seen++
	v := s.Vector()
	worst := 0.0
	for i, value := range x.values {
		worst = max(worst, math.Abs(value(&v, s.Scores)-want[i]))
	}
	if worst > tolerance {
		x.off = append(x.off, deviant{s.ID, at})
		return
	}
	x.worst = max(x.worst, worst)
}

// expectResult is how far features or scores are from a file.
type expectResult struct {
	File    string   `json:"file"`
	Columns []string `json:"columns"`
	// Rows are those of the file, Compared those of them that were found.
	Rows     int `json:"rows"`
	Compared int `json:"compared"`
	// Off are the rows with a number off by more than 1e-6. TiedOff are further ones that share card and second with
	// another payment: which of them comes first is arbitrary.
	Off     int `json:"off"`
	TiedOff int `json:"tiedOff"`
	// FirstOff is the first transaction that is off.
	FirstOff int64 `json:"firstOff,omitzero"`
	// Worst is the largest difference in the other rows.
	Worst float64 `json:"worst"`
}

func (x *expectation) result() expectResult {
	r := expectResult{File: x.path, Columns: x.columns, Rows: len(x.rows), Compared: x.seen, Worst: x.worst}
	for _, d := range x.off {
		switch {
		case x.ties[d.at]:
			r.TiedOff++
		default:
			if r.Off++; r.Off == 1 {
				r.FirstOff = d.id
			}
		}
	}
	return r
}

func (r expectResult) String() string {
	text := fmt.Sprintf("%s: %s of %s rows compared, %s off by more than %g", r.File,
		progress.Count(int64(r.Compared)), progress.Count(int64(r.Rows)), progress.Count(int64(r.Off)), tolerance)
	if r.Off > 0 {
		text += fmt.Sprintf(" (the first is transaction %d)", r.FirstOff)
	}
	if r.TiedOff > 0 {
		text += fmt.Sprintf(", and %d of the same card and second as another", r.TiedOff)
	}
	return text + fmt.Sprintf("; the others by %.1g at most", r.Worst)
}
