package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/cmd/riffle/offsets"
)

// A partition of 20 records, at a second each, of which the first five are gone: offsets [5, 20), times 5s to 19s. The
// broker finds times by batches of four: 4, 8, 12, 16.
func testBounds(r offsets.Range) bounds {
	b := bounds{start: 5, end: 20, fromTime: 20, toTime: 20}
	find := func(p offsets.Position) int64 {
		if p.Value > 19_000 {
			return b.end
		}
		return max(p.Value/4000*4, b.start)
	}
	if r.From.Kind == offsets.Time {
		b.fromTime = find(r.From)
	}
	if r.To.Kind == offsets.Time {
		b.toTime = find(r.To)
	}
	return b
}

// read is what a span takes of the records of testBounds and of those that follow up to offset 30, and whether it ends.
func read(s span) (taken []int64, ended bool) {
	for o := s.fetch; o < 30; o++ {
		belongs, done := s.take(&kgo.Record{Offset: o, Timestamp: time.Unix(o, 0)})
		if belongs {
			taken = append(taken, o)
		}
		if done {
			return taken, true
		}
	}
	return taken, false
}

func TestSpan(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in          string
		exit        bool
		first, last int64 // -1: none
		ends        bool
	}{
		{"start", false, 5, 29, false},
		{"start", true, 5, 19, true},
		{"end", false, 20, 29, false},
		{"end", true, -1, -1, true},
		{"end-3", true, 17, 19, true},
		{"end-300", true, 5, 19, true},
		{"start+3", true, 8, 19, true},
		{"+3", true, 8, 19, true},
		{"-3", true, 17, 19, true},
		{"12", true, 12, 19, true},
		{"12:", false, 12, 29, false},
		{"2:8", false, 5, 7, true},
		{"8:12", false, 8, 11, true},
		{"8:+2", false, 8, 9, true},
		{"8:-5", false, 8, 14, true},
		{"8:end", false, 8, 19, true},
		{"8:start+5", false, 8, 9, true},
		{"8:end+4", false, 8, 23, true},
		{"8:end+4", true, 8, 19, true},
		{"25:27", false, 25, 26, true}, // what is not there yet is waited for
		{"25:27", true, -1, -1, true},
		{"25", false, 25, 29, false},
		{":end", false, 5, 19, true},
		{"@1970-01-01T00:00:10Z", true, 10, 19, true},
		{"@1970-01-01T00:00:10Z:1970-01-01T00:00:15Z", false, 10, 14, true},
		{"@1970-01-01T00:00:10Z:5s", false, 10, 14, true},
		{"@1970-01-01T00:00:10Z:end", false, 10, 19, true},
		{"@1970-01-01T00:00:10Z:1h", false, 10, 19, true},
		{"@1970-01-01T01:00:00Z", false, -1, -1, false}, // what follows is before that time
		{"@:1970-01-01T00:00:07Z", false, 5, 6, true},
		{"@:1970-01-01T00:00:02Z", false, -1, -1, true},
	} {
		r, err := offsets.Parse(tc.in, time.Unix(20, 0))
		if err != nil {
			t.Fatal(err)
		}
		b := testBounds(r)
		var taken []int64
		s := resolve(r, b, tc.exit)
		ended := s.empty()
		if !ended {
			s.fetch = min(s.from, b.end)
			taken, ended = read(s)
		}
		var want []int64
		for o := tc.first; o >= 0 && o <= tc.last; o++ {
			want = append(want, o)
		}
		if diff := cmp.Diff(want, taken); diff != "" || ended != tc.ends {
			t.Errorf("-o %s, exit %v: %+v ended %v, want %v; records (-want +got):\n%s", tc.in, tc.exit, s, ended, tc.ends, diff)
		}
	}
}
