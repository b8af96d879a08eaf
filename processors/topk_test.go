package processors_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

var rankings = stream.NewTopic("rankings", serde.String, serde.JSON[[]processors.Ranked]())

func newTopK(t streamtest.TB, cfg processors.TopKConfig) *streamtest.Driver {
	t.Helper()
	store := processors.NewTopKStore("counts", serde.String, cfg)
	return drive(t, processors.TopK(word, store), store, rankings)
}

// Arguments: k=N [capacity=N]. The item is the value's first word.
func TestTopKScripts(t *testing.T) {
	runScripts(t, "topk", func(t *testing.T, td *datadriven.TestData) *streamtest.Driver {
		var cfg processors.TopKConfig
		td.ScanArgs(t, "k", &cfg.K)
		td.MaybeScanArgs(t, "capacity", &cfg.Capacity)
		return newTopK(t, cfg)
	}, rankings, func(ranking []processors.Ranked) string {
		var b strings.Builder
		for _, r := range ranking {
			fmt.Fprintf(&b, " %s=%d", r.Item, r.Count)
			if r.Error > 0 {
				fmt.Fprintf(&b, "-%d", r.Error)
			}
		}
		return b.String()[1:]
	})
}

// TestTopKModel counts exactly: as long as the capacity is enough the ranking is the same, beyond it within its error.
func TestTopKModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		k := rapid.IntRange(1, 4).Draw(t, "k")
		capacity := rapid.IntRange(k, 8).Draw(t, "capacity")
		d := newTopK(t, processors.TopKConfig{K: k, Capacity: capacity})
		type model struct {
			counts       map[string]int64
			before, last []processors.Ranked
			records      int64
			exact        bool
		}
		models := map[string]*model{"": {counts: make(map[string]int64), exact: true}, "k": {counts: make(map[string]int64), exact: true}}
		for n := range rapid.Int64Range(1, 100).Draw(t, "records") {
			key := rapid.SampledFrom([]string{"", "k"}).Draw(t, "key")
			m := models[key]
			item := string(rune('a' + rapid.IntRange(0, 9).Draw(t, "item")))
			m.counts[item]++
			m.records++
			m.exact = m.exact && len(m.counts) <= capacity
			want := top(m.counts, k)
			d.Pipe(in, key, item, second(rapid.Int64Range(0, 100).Draw(t, "time")))
			got := d.Values(rankings)
			if len(got) > 0 {
				m.last = got[len(got)-1]
			}
			switch {
			case m.exact && (len(got) > 0) != !slices.Equal(m.before, want):
				t.Fatalf("record %d, %q: %v after %v, but %d rankings came", n, item, want, m.before, len(got))
			case m.exact && !slices.Equal(m.last, want):
				t.Fatalf("record %d, %q (-want +got):\n%s", n, item, gocmp.Diff(want, m.last))
			}
			m.before = want
			most := m.records / int64(capacity)
			for _, r := range m.last {
				// The ranking may be older than this record, so only its upper bound is checked against the item itself.
				if r.Error > most || r.Count-r.Error > m.counts[r.Item] || len(got) > 0 && r.Count < m.counts[r.Item] {
					t.Fatalf("record %d: %+v, counted %d times; no error may exceed %d", n, r, m.counts[r.Item], most)
				}
			}
			if rapid.IntRange(0, 19).Draw(t, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// top returns the k items with the highest counts.
func top(counts map[string]int64, k int) (ranking []processors.Ranked) {
	for item, n := range counts {
		ranking = append(ranking, processors.Ranked{Item: item, Count: n})
	}
	slices.SortFunc(ranking, func(a, b processors.Ranked) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Item, b.Item))
	})
	return ranking[:min(k, len(ranking))]
}

func TestTopKMistakes(t *testing.T) {
	t.Parallel()
	store := processors.NewTopKStore("counts", serde.String, processors.TopKConfig{})
	wantMistakes(t, processors.TopK(word, store), store, rankings, `"counts"`, "top 0")
	store = processors.NewTopKStore("counts", serde.String, processors.TopKConfig{K: 5, Capacity: 4})
	wantMistakes(t, processors.TopK(word, store), store, rankings, "capacity of 4 for the top 5")
}
