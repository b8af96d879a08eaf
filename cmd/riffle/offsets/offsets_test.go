package offsets

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var testNow = time.Date(2026, 6, 15, 12, 0, 0, 0, time.UTC)

func at(t time.Time) Position { return Position{Time, t.UnixMilli()} }

func ago(d time.Duration) Position { return at(testNow.Add(-d)) }

func from(p Position) Range { return Range{From: p} }

func between(from, to Position) Range { return Range{From: from, To: to, Bounded: true} }

func TestParse(t *testing.T) {
	t.Parallel()
	jan15 := time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		in   string
		want Range
	}{
		{"start", from(Position{Start, 0})},
		{"end", from(Position{End, 0})},
		{"start+5", from(Position{Start, 5})},
		{"start+0", from(Position{Start, 0})},
		{"end-3", from(Position{End, -3})},
		{"+10", from(Position{Relative, 10})},
		{"+0", from(Position{Relative, 0})},
		{"-5", from(Position{Relative, -5})},
		{"-0", from(Position{End, 0})},
		{"0", from(Position{Exact, 0})},
		{"9223372036854775807", from(Position{Exact, 1<<63 - 1})},

		{"100:", from(Position{Exact, 100})},
		{":200", between(Position{Start, 0}, Position{Exact, 200})},
		{"100:200", between(Position{Exact, 100}, Position{Exact, 200})},
		{"7:7", between(Position{Exact, 7}, Position{Exact, 7})},
		{"100:end", between(Position{Exact, 100}, Position{End, 0})},
		{":end", between(Position{Start, 0}, Position{End, 0})},
		{":end-3", between(Position{Start, 0}, Position{End, -3})},
		{":end+5", between(Position{Start, 0}, Position{End, 5})},
		{"start+2:end-2", between(Position{Start, 2}, Position{End, -2})},
		{"-20:-10", between(Position{Relative, -20}, Position{Relative, -10})},
		{"-20:end", between(Position{Relative, -20}, Position{End, 0})},

		{"@1700000000000", from(Position{Time, 1700000000000})},
		{"@1700000000000000000", from(Position{Time, 1700000000000})},
		{"@1700000000", from(Position{Time, 1700000000000})},
		{"@170000000", from(Position{Time, 170000000000})},
		{"@2026-01-15", from(at(jan15))},
		{"@2026-01-15T10:30:00Z", from(at(jan15.Add(10*time.Hour + 30*time.Minute)))},
		{"@2026-01-15T10:30:00.5Z", from(at(jan15.Add(10*time.Hour + 30*time.Minute + 500*time.Millisecond)))},
		{"@2026-01-15T10:30:00+05:30", from(at(jan15.Add(5 * time.Hour)))},
		{"@now", from(at(testNow))},
		{"@-1h", from(ago(time.Hour))},
		{"@-7d", from(ago(7 * 24 * time.Hour))},
		{"@-2d12h", from(ago(60 * time.Hour))},
		{"@-500ms", from(ago(500 * time.Millisecond))},
		{"@-1h:", from(ago(time.Hour))},

		{"@2026-01-15:1h", between(at(jan15), at(jan15.Add(time.Hour)))},
		{"@2026-01-15:+7d", between(at(jan15), at(jan15.Add(7*24*time.Hour)))},
		{"@2026-01-15:2026-01-16", between(at(jan15), at(jan15.Add(24*time.Hour)))},
		{"@2026-01-15T10:30:00Z:1h", between(at(jan15.Add(10*time.Hour+30*time.Minute)), at(jan15.Add(11*time.Hour+30*time.Minute)))},
		{"@2026-01-15T10:30:00+05:30:2h", between(at(jan15.Add(5*time.Hour)), at(jan15.Add(7*time.Hour)))},
		{"@-48h:-24h", between(ago(48*time.Hour), ago(24*time.Hour))},
		{"@-1m:end", between(ago(time.Minute), Position{End, 0})},
		{"@-1h:+1h", between(ago(time.Hour), at(testNow))},
		{"@-30m:now", between(ago(30*time.Minute), at(testNow))},
		{"@:2026-01-15", between(Position{Start, 0}, at(jan15))},
		{"@:end", between(Position{Start, 0}, Position{End, 0})},
		{"@:-1h", between(Position{Start, 0}, ago(time.Hour))},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in, testNow)
		if err != nil {
			t.Errorf("Parse(%q): %v", tt.in, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("Parse(%q) (-want +got)\n%s", tt.in, diff)
		}
	}
}

// Each error quotes the input and says what would have been right.
func TestParseErrors(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, want string }{
		{"", "want start, end, N"},
		{":", "at least one end"},
		{"middle", `"middle": want start, end, a number`},
		{"startx", "want start, start+N"},
		{"start-1", "want start, start+N"},
		{"end+1", "behind the end"},
		{"+abc", "want +N or -N"},
		{"--5", "want +N or -N"},
		{"-", "want +N or -N"},
		{"9223372036854775808", "a number"},
		{"100:abc", `"abc"`},
		{"abc:100", `"abc"`},
		{"200:100", "before it starts"},
		{"1:2:3", `"2:3"`},
		{"@", "want a time"},
		{"@:", "want a time"},
		{"@soon", `"soon" is not a time`},
		{"@12345", "has 5 digits"},
		{"@12345678901", "has 11 digits"},
		{"@99999999999999999999", "too large"},
		{"@-1x", "want - and a duration"},
		{"@-99999d", "want - and a duration"},
		{"@1969-12-31", "not between 1970 and 9999"},
		{"@-1h:-2h", "before it starts"},
		{"@:1h", "counts from the first time"},
		{"@2026-01-15:later", `"later" is not a time`},
	}
	for _, tt := range tests {
		got, err := Parse(tt.in, testNow)
		if err == nil {
			t.Errorf("Parse(%q) = %v, want an error", tt.in, got)
			continue
		}
		if !errors.Is(err, ErrSyntax) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) error = %q, want ErrSyntax with %q", tt.in, err, tt.want)
		}
	}
}

// FuzzParse checks that whatever is accepted can be written down and read back as the same range.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"start", "end-3", "+5", "-0", "100:200", ":end+1", "start+1:-2", "@now", "@-1h", "@-2d12h:+1h",
		"@2026-01-15T10:30:00+05:30:2h", "@:end", "@1700000000:1700000001", "@9999-12-31:1h",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := Parse(s, testNow)
		if err != nil {
			if !errors.Is(err, ErrSyntax) {
				t.Fatalf("Parse(%q) error %v does not match ErrSyntax", s, err)
			}
			return
		}
		again, err := Parse(r.String(), testNow)
		if err != nil {
			t.Fatalf("Parse(%q) = %v, which does not parse: %v", s, r, err)
		}
		if r != again {
			t.Fatalf("Parse(%q) = %+v, written %v, read back %+v", s, r, r, again)
		}
	})
}
