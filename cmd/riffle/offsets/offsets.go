package offsets

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// ErrSyntax is in the chain of every error that Parse returns.
var ErrSyntax = errors.New("offsets: invalid offset")

// Kind says what a Position counts from.
type Kind int

const (
	// Start is the partition's log start offset, plus Value records.
	Start Kind = iota
	// End is the partition's log end offset, plus Value records; Value is at most 0 where the position starts a range.
	End
	// Relative is +N or -N: Value records from a place the command chooses.
	Relative
	// Exact is the offset Value.
	Exact
	// Time is the first record at or after Value, in milliseconds since 1970.
	Time
)

// Position is one end of a range.
type Position struct {
	Kind  Kind
	Value int64
}

// Range is where to start and, if Bounded, where to stop: [From, To).
type Range struct {
	From, To Position
	Bounded  bool
}

// Parse reads one range. Times that count from the present are resolved with now. An error names the part
// that is wrong, says what is allowed, and matches ErrSyntax.
func Parse(s string, now time.Time) (Range, error) {
	r, err := parse(s, now)
	if err != nil {
		return Range{}, fmt.Errorf("%w %q: %w", ErrSyntax, s, err)
	}
	return r, nil
}

func parse(s string, now time.Time) (Range, error) {
	if s == "" {
		return Range{}, errors.New("want start, end, N, +N, -N, A:B or @TIME")
	}
	if times, ok := strings.CutPrefix(s, "@"); ok {
		return parseTimes(times, now)
	}
	from, to, bounded := strings.Cut(s, ":")
	if bounded && from == "" && to == "" {
		return Range{}, errors.New("a range needs at least one end, as in 100: or :200")
	}
	var r Range
	var err error
	if from != "" {
		if r.From, err = parsePosition(from); err != nil {
			return Range{}, err
		}
		if r.From.Kind == End && r.From.Value > 0 {
			return Range{}, fmt.Errorf("%s starts behind the end", from)
		}
	}
	if to != "" {
		if r.To, err = parsePosition(to); err != nil {
			return Range{}, err
		}
		r.Bounded = true
	}
	if r.Bounded && r.From.Kind == Exact && r.To.Kind == Exact && r.To.Value < r.From.Value {
		return Range{}, fmt.Errorf("the range ends at %d, before it starts at %d", r.To.Value, r.From.Value)
	}
	return r, nil
}

// parsePosition reads a position that is not a time.
func parsePosition(s string) (Position, error) {
	for word, kind := range map[string]Kind{"start": Start, "end": End} {
		rest, ok := strings.CutPrefix(s, word)
		if !ok {
			continue
		}
		if rest == "" {
			return Position{Kind: kind}, nil
		}
		n, err := parseSigned(rest)
		if err != nil || kind == Start && n < 0 {
			return Position{}, fmt.Errorf("%q: want start, start+N, end, end+N or end-N", s)
		}
		return Position{Kind: kind, Value: n}, nil
	}
	if s[0] == '+' || s[0] == '-' {
		n, err := parseSigned(s)
		if err != nil {
			return Position{}, fmt.Errorf("%q: want +N or -N with a number N", s)
		}
		if n == 0 && s[0] == '-' {
			return Position{Kind: End}, nil // none before the end: a zero has no sign to tell the two apart
		}
		return Position{Kind: Relative, Value: n}, nil
	}
	n, err := strconv.ParseUint(s, 10, 63)
	if err != nil {
		return Position{}, fmt.Errorf("%q: want start, end, a number, or @ and a time", s)
	}
	return Position{Kind: Exact, Value: int64(n)}, nil
}

// parseSigned reads digits behind one sign, which must be there.
func parseSigned(s string) (int64, error) {
	if s[0] != '+' && s[0] != '-' {
		return 0, ErrSyntax
	}
	n, err := strconv.ParseUint(s[1:], 10, 62)
	if err != nil {
		return 0, err
	}
	if s[0] == '-' {
		return -int64(n), nil
	}
	return int64(n), nil
}

// String returns the range in the grammar that Parse reads; times come out in RFC 3339, UTC.
func (r Range) String() string {
	if r.From.Kind == Time || r.Bounded && r.To.Kind == Time {
		var b strings.Builder
		b.WriteByte('@')
		if r.From.Kind == Time {
			b.WriteString(r.From.String())
		}
		if r.Bounded {
			b.WriteString(":" + r.To.String())
		}
		return b.String()
	}
	if !r.Bounded {
		return r.From.String()
	}
	return r.From.String() + ":" + r.To.String()
}

// String returns the position as it stands in a range; a time is without its @.
func (p Position) String() string {
	switch p.Kind {
	case Start:
		return "start" + signed(p.Value, true)
	case End:
		return "end" + signed(p.Value, true)
	case Relative:
		return signed(p.Value, false)
	case Exact:
		return strconv.FormatInt(p.Value, 10)
	case Time:
		return time.UnixMilli(p.Value).UTC().Format(timeLayout)
	default:
		return fmt.Sprintf("Kind(%d)", p.Kind)
	}
}

func signed(n int64, omitZero bool) string {
	if n == 0 && omitZero {
		return ""
	}
	return fmt.Sprintf("%+d", n)
}
