package window

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"time"
)

// Graceless is a definition that lacks its grace: call Grace to complete it.
type Graceless[W any] struct {
	complete func(grace time.Duration) W
}

// Grace returns the definition, whose windows wait that long for late records: until stream time has reached their end
// plus the grace. It may be 0.
func (g Graceless[W]) Grace(d time.Duration) W { return g.complete(d) }

// maxOverlap bounds the windows that a record belongs to.
const maxOverlap = 1000

// Time are windows at fixed times, counted from 1970: tumbling, hopping or unlimited.
type Time struct {
	// Size, Advance and Lateness are in milliseconds; Lateness is the grace.
	Size, Advance, Lateness int64
	// Err is what is wrong with the definition.
	Err error
}

// Tumbling windows lie side by side: a record belongs to one.
func Tumbling(size time.Duration) Graceless[Time] { return Hopping(size, size) }

// Hopping windows begin every advance and overlap: a record belongs to size/advance of them, at most 1000.
func Hopping(size, advance time.Duration) Graceless[Time] {
	return Graceless[Time]{func(grace time.Duration) Time {
		w := Time{Size: size.Milliseconds(), Advance: advance.Milliseconds(), Lateness: grace.Milliseconds()}
		w.Err = errors.Join(length("the size of a window", size), length("the advance of hopping windows", advance), graceErr(grace))
		switch {
		case w.Err != nil:
		case advance > size:
			w.Err = fmt.Errorf("hopping windows of %v advance by %v: records between them would be lost; want at most the size", size, advance)
		case w.Size/w.Advance > maxOverlap:
			w.Err = fmt.Errorf("hopping windows of %v that advance by %v: a record would belong to %d windows, want at most %d; Sliding windows move with each record",
				size, advance, w.Size/w.Advance, maxOverlap)
		}
		return w
	}}
}

// Unlimited is one window for all time from 1970 on. It never closes, so it needs no grace.
func Unlimited() Time { return Time{Size: math.MaxInt64, Advance: math.MaxInt64} }

// Starts returns the first and the last start of the windows that hold a time, in milliseconds; between them lie those at
// each advance. No window begins before 1970.
func (w Time) Starts(t int64) (first, last int64) {
	if w.Advance <= 0 {
		return 0, 0 // Err says so
	}
	last = t - t%w.Advance
	if w.Size > t {
		return 0, last
	}
	first = t - w.Size + w.Advance
	return first - first%w.Advance, last
}

// At yields the windows that hold t, in the order of their starts.
func (w Time) At(t time.Time) iter.Seq[Window] {
	return func(yield func(Window) bool) {
		first, last := w.Starts(t.UnixMilli())
		for start := first; start <= last; start += w.Advance {
			if !yield(w.From(start)) || start == last {
				return
			}
		}
	}
}

// From returns the window with a start.
func (w Time) From(start int64) Window { return Millis(start, w.end(start)) }

func (w Time) end(start int64) int64 {
	if w.Size == math.MaxInt64 {
		return math.MaxInt64
	}
	return start + w.Size
}

// ClosesAfter is how long after its start a window is closed, in milliseconds.
func (w Time) ClosesAfter() int64 {
	if w.Size == math.MaxInt64 {
		return math.MaxInt64
	}
	return w.Size + w.Lateness
}

// String describes the windows, such as hopping(5m0s, 1m0s).grace(30s).
func (w Time) String() string {
	switch {
	case w.Size == math.MaxInt64:
		return "unlimited()"
	case w.Size == w.Advance:
		return fmt.Sprintf("tumbling(%v).grace(%v)", millis(w.Size), millis(w.Lateness))
	}
	return fmt.Sprintf("hopping(%v, %v).grace(%v)", millis(w.Size), millis(w.Advance), millis(w.Lateness))
}

// Moving are windows that end with each record: for one of time t and a width w, those that lie in (t-w, t].
type Moving struct {
	// Widths, in milliseconds, are in the order in which they were given.
	Widths   []int64
	Lateness int64 // the grace, in milliseconds
	Err      error // what is wrong with the definition
}

// Sliding windows end with each record: a window of width w holds the records of the key whose times lie in (t-w, t]. Of
// several widths each record has one window.
func Sliding(widths ...time.Duration) Graceless[Moving] {
	return Graceless[Moving]{func(grace time.Duration) Moving {
		m := Moving{Lateness: grace.Milliseconds(), Err: graceErr(grace)}
		if len(widths) == 0 {
			m.Err = errors.Join(m.Err, errors.New("sliding windows have no width"))
		}
		for _, width := range widths {
			m.Err = errors.Join(m.Err, length("the width of a sliding window", width))
			if slices.Contains(m.Widths, width.Milliseconds()) {
				m.Err = errors.Join(m.Err, fmt.Errorf("sliding windows name the width %v twice", width))
			}
			m.Widths = append(m.Widths, width.Milliseconds())
		}
		return m
	}}
}

// Reach is the widest width.
func (m Moving) Reach() int64 {
	if len(m.Widths) == 0 {
		return 0
	}
	return slices.Max(m.Widths)
}

// Until returns the window of a width that ends with a time, both in milliseconds: (t-width, t].
func (m Moving) Until(t, width int64) Window { return Millis(t-width+1, t+1) }

// String describes the windows, such as sliding(1h0m0s, 24h0m0s).grace(1m0s).
func (m Moving) String() string {
	s := "sliding("
	for i, width := range m.Widths {
		if i > 0 {
			s += ", "
		}
		s += millis(width).String()
	}
	return fmt.Sprintf("%s).grace(%v)", s, millis(m.Lateness))
}

// Sessions are windows of activity: records of a key belong to one session as long as no gap between them is longer than
// Gap.
type Sessions struct {
	Gap, Lateness int64 // milliseconds; Lateness is the grace
	Err           error // what is wrong with the definition
}

// Session windows hold records of a key that follow each other within the gap: a record joins a session if it lies no
// further than the gap from its first or last record, and merges those it joins. The window reaches from the first
// record to the last one, included.
func Session(gap time.Duration) Graceless[Sessions] {
	return Graceless[Sessions]{func(grace time.Duration) Sessions {
		return Sessions{
			Gap: gap.Milliseconds(), Lateness: grace.Milliseconds(),
			Err: errors.Join(length("the gap of a session window", gap), graceErr(grace)),
		}
	}}
}

// ClosesAfter is how long after its end a session is closed, in milliseconds.
func (s Sessions) ClosesAfter() int64 { return s.Gap + s.Lateness }

// String describes the windows, such as session(30m0s).grace(1m0s).
func (s Sessions) String() string {
	return fmt.Sprintf("session(%v).grace(%v)", millis(s.Gap), millis(s.Lateness))
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// length returns what is wrong with a duration that has to be positive, or nil.
func length(what string, d time.Duration) error {
	if d < time.Millisecond || d%time.Millisecond != 0 {
		return fmt.Errorf("%s is %v: want a multiple of 1ms", what, d)
	}
	return nil
}

func graceErr(d time.Duration) error {
	if d < 0 || d%time.Millisecond != 0 {
		return fmt.Errorf("the grace of a window is %v: want 0 or a multiple of 1ms", d)
	}
	return nil
}
