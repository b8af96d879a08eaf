package processors_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var matches = stream.NewTopic("matches", serde.String, serde.JSON[processors.Matched[string]]())

// patternOf makes a pattern of letters: a step "aB" matches the values a and B, "a3" takes three a's.
func patternOf(steps []string, within time.Duration, reset string, maxRecords int) processors.Pattern[string] {
	p := processors.Pattern[string]{Within: within, MaxRecords: maxRecords}
	for _, s := range steps {
		letters := strings.TrimRight(s, "0123456789")
		step := processors.Step[string]{Match: func(v string) bool { return v != "" && strings.Contains(letters, v) }}
		_, _ = fmt.Sscan(s[len(letters):], &step.Times) // none is the default
		p.Steps = append(p.Steps, step)
	}
	if reset != "" {
		p.Reset = func(v string) bool { return strings.Contains(reset, v) }
	}
	return p
}

func newSequence(t streamtest.TB, p processors.Pattern[string]) *streamtest.Driver {
	t.Helper()
	store := processors.NewSequenceStore("candidates", serde.String, p)
	return drive(t, processors.Sequence(store), store, matches)
}

// Arguments: steps=(LETTERS[TIMES],...) within=DURATION [reset=LETTERS] [max=N]
func TestSequenceScripts(t *testing.T) {
	runScripts(t, "sequence", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var steps []string
		for _, arg := range td.CmdArgs {
			if arg.Key == "steps" {
				steps = arg.Vals
			}
		}
		var within, reset string
		var most int
		td.ScanArgs(t, "within", &within)
		td.MaybeScanArgs(t, "reset", &reset)
		td.MaybeScanArgs(t, "max", &most)
		return newSequence(t, patternOf(steps, duration(t, within), reset, most))
	}, matches, func(m processors.Matched[string]) string {
		text := m.Value + ":"
		for _, r := range m.Records {
			text += " " + place(r)
		}
		return text
	})
}

// TestSequenceModel compares with a search through all choices of records, of which the one with the youngest records wins.
func TestSequenceModel(t *testing.T) {
	t.Parallel()
	type event struct {
		value string
		at, n int64
	}
	patterns := [][]string{{"s", "L"}, {"d3", "a"}, {"a", "ab", "b"}, {"a2"}, {"b", "a2", "c"}}
	rapid.Check(t, func(t *rapid.T) {
		steps := rapid.SampledFrom(patterns).Draw(t, "pattern")
		within := rapid.Int64Range(1, 12).Draw(t, "within")
		reset := rapid.SampledFrom([]string{"", "x"}).Draw(t, "reset")
		p := patternOf(steps, time.Duration(within)*time.Second, reset, 0)
		d := newSequence(t, p)
		var flat []func(string) bool // a function for each record of the pattern
		for _, s := range p.Steps {
			for range max(s.Times, 1) {
				flat = append(flat, s.Match)
			}
		}
		events := make(map[string][]event) // by key
		streamTime := int64(0)
		letters := strings.Split(strings.Join(steps, "")+"x", "")
		for n := range rapid.Int64Range(1, 40).Draw(t, "records") {
			now := rapid.Int64Range(max(0, streamTime-5), streamTime+3).Draw(t, "time")
			key := rapid.SampledFrom([]string{"", "k"}).Draw(t, "key")
			all := events[key]
			e := event{rapid.SampledFrom(letters).Draw(t, "value"), now, n}
			streamTime = max(streamTime, now)
			var want []processors.Matched[string]
			if now > streamTime-within {
				at := len(all)
				for at > 0 && all[at-1].at > now {
					at--
				}
				before := all[:at]
				// find chooses records for flat[:k] among before[:until], the youngest first.
				var find func(k, until int) []event
				find = func(k, until int) []event {
					if k == 0 {
						return []event{}
					}
					for i := until - 1; i >= 0; i-- {
						if before[i].at > now-within && flat[k-1](before[i].value) {
							if rest := find(k-1, i); rest != nil {
								return append(rest, before[i])
							}
						}
					}
					return nil
				}
				var found []event
				if last := len(flat) - 1; flat[last](e.value) {
					if found = find(last, len(before)); found != nil {
						found = append(found, e)
					}
				}
				if found != nil {
					m := processors.Matched[string]{Value: e.value}
					for _, f := range found {
						m.Records = append(m.Records, processors.Origin{Topic: "in", Offset: f.n, Time: second(f.at)})
					}
					want = append(want, m)
				}
				after := append([]event(nil), all[at:]...)
				if found != nil || reset != "" && e.value == reset {
					all = after
				} else {
					all = append(append(append([]event(nil), before...), e), after...)
				}
			}
			events[key] = all
			d.Pipe(in, key, e.value, second(now))
			if diff := cmp.Diff(want, d.Values(matches)); diff != "" {
				t.Fatalf("record %+v of stream time %d (-want +got):\n%s", e, streamTime, diff)
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

func TestSequenceMistakes(t *testing.T) {
	t.Parallel()
	store := processors.NewSequenceStore("candidates", serde.String, processors.Pattern[string]{})
	wantMistakes(t, processors.Sequence(store), store, matches, `"candidates"`, "0 steps", "within 0s")
	store = processors.NewSequenceStore("candidates", serde.String, processors.Pattern[string]{
		Steps: []processors.Step[string]{{Times: -1}, {Match: func(string) bool { return true }, Times: 9}}, MaxRecords: 8,
	})
	wantMistakes(t, processors.Sequence(store), store, matches, "step 1 matches nothing", "step 1 takes -1", "at most 8 records: the pattern takes 9")
}
