package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// backtestReport is what other rules would have changed. Its JSON form is what --report writes.
type backtestReport struct {
	Payments  int64 `json:"payments"`
	Undecided int64 `json:"undecided"` // not yet decided when they were read
	// Frauds are those among the payments whose labels must have come; 0 without labels.
	Frauds int64 `json:"frauds"`
	// Alerts are the payments that are not approved.
	Alerts hitCounts             `json:"alerts"`
	Rules  map[string]*hitCounts `json:"rules"`
}

// hitCounts compares the hits of a rule with those that it had.
type hitCounts struct {
	New  int64 `json:"new"`
	Lost int64 `json:"lost"`
	Kept int64 `json:"kept"`
	// Judged are the hits, new and kept, of which it is known whether they are frauds; Right are those that are.
	Judged int64 `json:"judged"`
	Right  int64 `json:"right"`
	// Precision and Recall are there if labels exist, and there is anything to divide by.
	Precision *float64 `json:"precision,omitzero"`
	Recall    *float64 `json:"recall,omitzero"`
}

func (h *hitCounts) count(had, has bool) {
	switch {
	case had && has:
		h.Kept++
	case has:
		h.New++
	case had:
		h.Lost++
	}
}

func (h *hitCounts) judge(fraud bool) {
	h.Judged++
	if fraud {
		h.Right++
	}
}

func (r *backtestReport) alert(had, has bool) { r.Alerts.count(had, has) }

func (r *backtestReport) rule(name string) *hitCounts {
	if r.Rules == nil {
		r.Rules = make(map[string]*hitCounts)
	}
	if r.Rules[name] == nil {
		r.Rules[name] = new(hitCounts)
	}
	return r.Rules[name]
}

// finish computes what labels allow to say.
func (r *backtestReport) finish(labels bool) {
	if !labels {
		return
	}
	for _, h := range r.Rules {
		if h.Judged > 0 {
			p := float64(h.Right) / float64(h.Judged)
			h.Precision = &p
		}
		if r.Frauds > 0 {
			p := float64(h.Right) / float64(r.Frauds)
			h.Recall = &p
		}
	}
}

func (r *backtestReport) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s payments; alerts: %s kept, %s new, %s lost\n", progress.Count(r.Payments),
		progress.Count(r.Alerts.Kept), progress.Count(r.Alerts.New), progress.Count(r.Alerts.Lost))
	if r.Undecided > 0 {
		fmt.Fprintf(&b, "%s payments are not yet decided, and left out\n", progress.Count(r.Undecided))
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  rule\tkept\tnew\tlost\tprecision\trecall")
	for _, name := range slices.Sorted(maps.Keys(r.Rules)) {
		h := r.Rules[name]
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\n", name, progress.Count(h.Kept), progress.Count(h.New), progress.Count(h.Lost), share(h.Precision), share(h.Recall))
	}
	w.Flush()
	if r.Frauds == 0 {
		fmt.Fprintln(&b, "  without labels nobody knows which hits are right")
	}
	return b.String()
}

func share(f *float64) string {
	if f == nil {
		return "-"
	}
	return fmt.Sprintf("%.3f", *f)
}
