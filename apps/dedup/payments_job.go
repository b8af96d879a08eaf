package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// maxLabels bounds the columns of the table by label: a column of ids is no label.
const maxLabels = 20

// newPaymentsJob makes the job that finds payments that come twice.
func newPaymentsJob(o paymentsOptions) (*job[Payment], error) {
	topology, err := PaymentsTopology(o.detection)
	if err != nil {
		return nil, err
	}
	rows, err := openPayments(o)
	if err != nil {
		return nil, err
	}
	return &job[Payment]{
		options: o.options, app: paymentsApp, rows: rows, topic: Payments, topology: topology,
		outputs: paymentOutputs(), settings: o.settings(), sumUp: sumUpPayments,
	}, nil
}

// paymentsSummary counts the decisions.
type paymentsSummary struct {
	totals
	Verdicts map[duplicates.Verdict]int64 `json:"verdicts"`
	Actions  map[Action]int64             `json:"actions"`
	// Saved is the sum of the charges that were dropped, in minor units.
	Saved int64 `json:"saved"`
	// Labels counts verdicts by label, in a file that has labels.
	Labels map[string]map[duplicates.Verdict]int64 `json:"labels,omitzero"`
}

func (s paymentsSummary) String() string {
	text := s.text(func(line func(string, int64)) {
		for _, v := range duplicates.Verdicts() {
			line(string(v), s.Verdicts[v])
		}
		for _, a := range []Action{Pass, Tag, Route, Drop} {
			line("  "+string(a), s.Actions[a])
		}
	})
	return text + fmt.Sprintf("  %-13s%s.%02d in charges that were dropped\n", "saved", progress.Count(s.Saved/100), s.Saved%100) + s.table()
}

// table has a row for each label and a column for each verdict.
func (s paymentsSummary) table() string {
	if len(s.Labels) == 0 {
		return ""
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "  label\t")
	for _, v := range duplicates.Verdicts() {
		fmt.Fprintf(w, "%s\t", v)
	}
	fmt.Fprintln(w)
	for _, label := range slices.Sorted(maps.Keys(s.Labels)) {
		fmt.Fprintf(w, "  %s\t", label)
		for _, v := range duplicates.Verdicts() {
			fmt.Fprintf(w, "%s\t", progress.Count(s.Labels[label][v]))
		}
		fmt.Fprintln(w)
	}
	w.Flush()
	return b.String()
}

// sumUpPayments counts the decisions.
func sumUpPayments(ctx context.Context, cluster *stream.Cluster, t totals) (fmt.Stringer, error) {
	s := paymentsSummary{totals: t, Verdicts: make(map[duplicates.Verdict]int64), Actions: make(map[Action]int64)}
	labels := make(map[string]map[duplicates.Verdict]int64)
	for r, err := range cluster.Read(ctx, Decisions) {
		if err != nil {
			return s, err
		}
		d := r.Value
		s.Verdicts[d.Verdict]++
		s.Actions[d.Action]++
		if d.Action == Drop {
			s.Saved += max(d.Amount, 0)
		}
		if d.Label == "" || labels[d.Label] == nil && len(labels) == maxLabels {
			continue
		}
		if labels[d.Label] == nil {
			labels[d.Label] = make(map[duplicates.Verdict]int64)
		}
		labels[d.Label][d.Verdict]++
	}
	if len(labels) > 0 {
		s.Labels = labels
	}
	return s, nil
}
