package main

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// deskSummary is what the desk has decided. Its JSON form is what --report writes.
type deskSummary struct {
	Decisions int64                     `json:"decisions"`
	Actions   map[rulebook.Action]int64 `json:"actions"`
	Duplicate int64                     `json:"duplicates"` // came again under their ids
	Conflicts int64                     `json:"conflicts"`
	// Rules counts outcomes by rule, those of shadows included.
	Rules       map[string]map[rulebook.Outcome]int64 `json:"rules"`
	DeadLetters int64                                 `json:"deadLetters"` // of this run
	Processed   int64                                 `json:"processed"`   // records of this run, by all steps
	Seconds     float64                               `json:"seconds"`
	PeakMemory  int64                                 `json:"peakMemoryBytes,omitzero"`
}

func (s *deskSummary) add(d *desk.Decision) {
	if d.Action == "" {
		s.Duplicate++
		return
	}
	s.Decisions++
	s.Actions[d.Action]++
	for _, r := range d.Results {
		if s.Rules[r.Rule] == nil {
			s.Rules[r.Rule] = make(map[rulebook.Outcome]int64)
		}
		s.Rules[r.Rule][r.Outcome]++
	}
}

func (s deskSummary) String() string {
	var b strings.Builder
	line := func(name string, n int64) { fmt.Fprintf(&b, "  %-22s %s\n", name, progress.Count(n)) }
	fmt.Fprintf(&b, "decisions %s, in %.1f s\n", progress.Count(s.Decisions), s.Seconds)
	for _, a := range []rulebook.Action{rulebook.Approve, rulebook.Review, rulebook.Block} {
		line(string(a), s.Actions[a])
	}
	line("duplicates", s.Duplicate)
	line("conflicts", s.Conflicts)
	line("dead letters", s.DeadLetters)
	for _, rule := range slices.Sorted(maps.Keys(s.Rules)) {
		for _, outcome := range slices.Sorted(maps.Keys(s.Rules[rule])) {
			line("rule "+rule+" "+string(outcome), s.Rules[rule][outcome])
		}
	}
	return b.String()
}

// sumUp reads what was decided, and writes it to a file if that is wanted.
func (j *deskJob) sumUp(ctx context.Context) (s deskSummary, err error) {
	s = deskSummary{Actions: make(map[rulebook.Action]int64), Rules: make(map[string]map[rulebook.Outcome]int64)}
	if app := j.app.Load(); app != nil {
		s.DeadLetters, s.Processed = app.Stats().DeadLetters, app.Stats().Processed
	}
	s.Seconds = time.Since(j.started).Seconds()
	read := func(w io.Writer) error {
		var line []byte
		for r, err := range j.cluster.Read(ctx, desk.Decisions) {
			if err != nil {
				return err
			}
			s.add(&r.Value)
			if w == nil {
				continue
			}
			if line, err = desk.Decisions.Value.Encode(line[:0], r.Value); err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	}
	if j.decisions == "" {
		err = read(nil)
	} else if err = writeFile(j.decisions, read); err != nil {
		err = fmt.Errorf("write the decisions: %w", err)
	}
	if err != nil {
		return s, err
	}
	for _, err := range j.cluster.Read(ctx, desk.Conflicts) {
		if err != nil {
			return s, err
		}
		s.Conflicts++
	}
	s.PeakMemory = peakMemory()
	return s, nil
}

func writeDeskReport(path string, s deskSummary) error {
	if path == "" {
		return nil
	}
	if err := writeFile(path, func(w io.Writer) error { return json.MarshalWrite(w, s, json.Deterministic(true)) }); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
