package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/perf/benchfmt"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratios:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) != 1 {
		return errors.New("usage: ratios FILE")
	}
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	t, err := read(f, args[0])
	if err != nil {
		return err
	}
	return t.write(out)
}

const (
	baseline  = "riffle"
	ratioUnit = "records/s"
)

// table is what was measured, in the order in which it came first.
type table struct {
	cases []*contest
	units []string
}

// contest is one case, and what each engine did in it.
type contest struct {
	name    string
	engines []*results
}

// results are the values of an engine by unit, one a round.
type results struct {
	engine string
	values map[string][]float64
}

func read(in io.Reader, file string) (*table, error) {
	t := &table{}
	reader := benchfmt.NewReader(in, file)
	for reader.Scan() {
		switch r := reader.Result().(type) {
		case *benchfmt.SyntaxError:
			return nil, r
		case *benchfmt.Result:
			t.add(r)
		}
	}
	if err := reader.Err(); err != nil {
		return nil, err
	}
	if len(t.cases) == 0 {
		return nil, fmt.Errorf("%s has no benchmark whose name ends in /engine=NAME", file)
	}
	return t, nil
}

func (t *table) add(r *benchfmt.Result) {
	name, engine, ok := strings.Cut(string(r.Name), "/engine=")
	if !ok {
		return
	}
	engine, _, _ = strings.Cut(engine, "-"+strconv.Itoa(procs(r)))
	c := find(&t.cases, func(c *contest) bool { return c.name == name }, func() *contest { return &contest{name: name} })
	e := find(&c.engines, func(e *results) bool { return e.engine == engine },
		func() *results { return &results{engine, make(map[string][]float64)} })
	for _, v := range r.Values {
		unit, value := v.Unit, v.Value
		if v.OrigUnit != "" { // as printed: nanoseconds, and not seconds
			unit, value = v.OrigUnit, v.OrigValue
		}
		if strings.HasSuffix(unit, "/op") {
			continue // of no meaning: an operation is as large as the workload happens to be
		}
		if !slices.Contains(t.units, unit) {
			t.units = append(t.units, unit)
		}
		e.values[unit] = append(e.values[unit], value)
	}
}

// procs is the number that a benchmark's name ends in.
func procs(r *benchfmt.Result) int {
	_, parts := r.Name.Parts()
	if len(parts) == 0 {
		return 1
	}
	n, err := strconv.Atoi(strings.TrimPrefix(string(parts[len(parts)-1]), "-"))
	if err != nil {
		return 1
	}
	return n
}

// find returns the element that matches, or appends a new one.
func find[T any](all *[]T, matches func(T) bool, make func() T) T {
	if i := slices.IndexFunc(*all, matches); i >= 0 {
		return (*all)[i]
	}
	*all = append(*all, make())
	return (*all)[len(*all)-1]
}

func (t *table) write(out io.Writer) error {
	slices.SortStableFunc(t.units, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	var b strings.Builder
	fmt.Fprintf(&b, "| case | engine | riffle is |%s\n", cells(t.units))
	fmt.Fprintf(&b, "| --- | --- | --- |%s\n", strings.Repeat(" --- |", len(t.units)))
	for _, c := range t.cases {
		for _, e := range c.engines {
			values := make([]string, len(t.units))
			for i, unit := range t.units {
				if v := e.values[unit]; len(v) > 0 {
					values[i] = number(median(v))
				}
			}
			fmt.Fprintf(&b, "| %s | %s | %s |%s\n", c.name, e.engine, c.ratio(e), cells(values))
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// rank puts speed first.
func rank(unit string) int {
	if unit == ratioUnit {
		return 0
	}
	return 1
}

func cells(texts []string) string {
	var b strings.Builder
	for _, s := range texts {
		fmt.Fprintf(&b, " %s |", s)
	}
	return b.String()
}

// ratio compares the baseline with an engine, round by round.
func (c *contest) ratio(e *results) string {
	i := slices.IndexFunc(c.engines, func(e *results) bool { return e.engine == baseline })
	if i < 0 || e.engine == baseline {
		return ""
	}
	ours, theirs := c.engines[i].values[ratioUnit], e.values[ratioUnit]
	var ratios []float64
	for round := range min(len(ours), len(theirs)) {
		ratios = append(ratios, ours[round]/theirs[round])
	}
	if len(ratios) == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f × (%.2f to %.2f)", median(ratios), slices.Min(ratios), slices.Max(ratios))
}

// median of an even number of values is the mean of the two in the middle.
func median(values []float64) float64 {
	s := slices.Sorted(slices.Values(values))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// number has three significant digits, or all those before the point.
func number(v float64) string {
	switch {
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}
