package processors

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// ErrOverflow means that the sum of a window does not fit 64 bits.
var ErrOverflow = errors.New("processors: the sum of a window does not fit 64 bits")

// Observation is what a window aggregates of a record.
type Observation struct {
	// Amount is summed and compared. Money is in its smallest unit, so that sums are exact.
	Amount int64
	// Item is what Distinct counts. Without Distinct it is ignored.
	Item string
}

// SlidingWindow is the interval (t-Delay-Width, t-Delay] for a record of event time t: what is exactly Width old does not count any
// more, what has the same time does.
type SlidingWindow struct {
	Width time.Duration
	// Delay moves the window into the past: what is younger does not count yet. The default is none.
	Delay time.Duration
}

// Aggregate is what a window holds. Min and Max are 0 in an empty window.
type Aggregate struct {
	Count, Sum, Min, Max int64
	// Distinct is the number of different items, if the store's configuration asks for it.
	Distinct int
	// Truncated says that the window reaches back to observations that were forgotten because the key has more than
	// MaxObservations.
	Truncated bool
}

// Mean returns the mean, or 0 for an empty window.
func (a Aggregate) Mean() float64 {
	if a.Count == 0 {
		return 0
	}
	return float64(a.Sum) / float64(a.Count)
}

// Aggregated is a value and the windows that end with its record.
type Aggregated[V any] struct {
	Value V
	// Windows are in the order of the store's configuration. There are none for a late record.
	Windows []Aggregate
	// Late says that the record came more than the store's Lateness behind the stream time of its task. It counts nowhere.
	Late bool
}

// SlidingConfig says which windows a store keeps. Wider windows in a later version are complete only when the store
// has been filled for as long.
type SlidingConfig struct {
	// Windows has at least one window.
	Windows []SlidingWindow
	// Lateness is how far behind the stream time of its task a record may come and still find and enter whole windows.
	// The default is none: records come in order of their times.
	Lateness time.Duration
	// MaxObservations bounds the observations that are kept of one key; the oldest are forgotten first. The default is
	// 65,536.
	MaxObservations int
	// Distinct counts different items. It reads all observations of a window for each record, where the other aggregates read a
	// few summaries, so it suits windows of up to some thousand observations.
	Distinct bool
}

// maxObservations is the default of SlidingConfig.MaxObservations.
const maxObservations = 1 << 16

func (c SlidingConfig) withDefaults() SlidingConfig {
	c.MaxObservations = cmp.Or(c.MaxObservations, maxObservations)
	return c
}

func (c SlidingConfig) validate(store string) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("processors: store %q: "+format, append([]any{store}, args...)...))
		}
	}
	check(len(c.Windows) > 0, "no windows")
	for _, w := range c.Windows {
		check(w.Width >= time.Millisecond, "window of width %v: want at least 1ms", w.Width)
		check(w.Delay >= 0, "window of delay %v: want 0 or more", w.Delay)
	}
	check(c.Lateness >= 0, "lateness %v: want 0 or more", c.Lateness)
	check(c.MaxObservations > 0, "at most %d observations: want 1 or more", c.MaxObservations)
	return errors.Join(errs...)
}

// reach is how far back the windows of a record go.
func (c SlidingConfig) reach() (d time.Duration) {
	for _, w := range c.Windows {
		d = max(d, w.Delay+w.Width)
	}
	return d
}

// SlidingStore remembers the observations of each key as long as a window can reach them.
//
// An observation takes some seven bytes. What a record reads and writes does not grow with the windows but with the
// square root of the key's observations: the latest ones and summaries of older blocks lie in one entry, and a window reads
// the block it begins in.
type SlidingStore[K any] struct {
	store state.KeyValueStore[pair[K, int64], *block]
	cfg   *SlidingConfig
	err   error
}

// NewSlidingStore declares a store for [Sliding], or for a processor of your own.
func NewSlidingStore[K any](name string, key serde.Serde[K], cfg SlidingConfig) SlidingStore[K] {
	cfg = cfg.withDefaults()
	s := SlidingStore[K]{store: state.NewKeyValueStore(name, pairSerde(key, serde.Int64), blockSerde), cfg: &cfg, err: cfg.validate(name)}
	if s.err == nil {
		// A late record puts the entry anew with its own time, so an observation may be younger than its entry by the lateness.
		s.store = s.store.TTL(cfg.reach() + 2*cfg.Lateness)
	}
	return s
}

// Spec implements [state.Definition].
func (s SlidingStore[K]) Spec() state.Spec {
	spec := s.store.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// In opens the store for the record that c processes.
func (s SlidingStore[K]) In(c state.Context) SlidingWindows[K] {
	if s.cfg == nil {
		s.cfg = &SlidingConfig{} // no store was declared, and every use says so
	}
	return SlidingWindows[K]{
		blocks: s.store.In(c), cfg: s.cfg,
		record: c.RecordTime().UnixMilli(),
		oldest: c.StreamTime().Add(-s.cfg.Lateness).UnixMilli(),
	}
}

// SlidingWindows is a SlidingStore opened for one record. It must not be kept.
type SlidingWindows[K any] struct {
	blocks state.KeyValue[pair[K, int64], *block]
	cfg    *SlidingConfig
	record int64 // time of the record
	oldest int64 // time that a record may have without being late
}

// Late reports whether the record came more than the store's Lateness behind the stream time of its task.
func (w SlidingWindows[K]) Late() bool { return w.record < w.oldest }

// Add remembers an observation of a time, which is at most the record's. Nothing is remembered of a late record, or
// at a time that no window of a record to come can reach.
func (w SlidingWindows[K]) Add(key K, at time.Time, o Observation) error {
	_, err := w.do(key, &entry{at.UnixMilli(), o.Amount, o.Item}, false)
	return err
}

// Windows returns the windows that end with the record, in the order of the configuration; none if the record is late.
func (w SlidingWindows[K]) Windows(key K) ([]Aggregate, error) {
	return w.do(key, nil, true)
}

// Observe adds an observation of the record's own time, and returns the windows that end with it.
func (w SlidingWindows[K]) Observe(key K, o Observation) ([]Aggregate, error) {
	return w.do(key, &entry{w.record, o.Amount, o.Item}, true)
}

// Backward yields the times of the observations in (since, until], the youngest first. Older ones than a window can reach may be gone. The
// store must not be written to meanwhile.
func (w SlidingWindows[K]) Backward(key K, since, until time.Time) iter.Seq2[time.Time, error] {
	return func(yield func(time.Time, error) bool) {
		l, err := openLog(w, key)
		if err != nil {
			yield(time.Time{}, err)
			return
		}
		defer l.close()
		l.backward(since.UnixMilli(), until.UnixMilli(), func(at int64, err error) bool {
			return yield(time.UnixMilli(at).UTC(), err)
		})
	}
}

func (w SlidingWindows[K]) do(key K, add *entry, read bool) ([]Aggregate, error) {
	if w.Late() {
		return nil, nil
	}
	if add != nil && add.at > w.record {
		return nil, fmt.Errorf("processors: an observation of %v is younger than its record, of %v",
			time.UnixMilli(add.at).UTC(), time.UnixMilli(w.record).UTC())
	}
	l, err := openLog(w, key)
	if err != nil {
		return nil, err
	}
	defer l.close()
	if add != nil {
		if err := l.add(*add); err != nil {
			return nil, err
		}
	}
	if !read {
		return nil, nil
	}
	found := make([]Aggregate, len(w.cfg.Windows))
	for i, window := range w.cfg.Windows {
		until := w.record - window.Delay.Milliseconds()
		if found[i], err = l.window(until-window.Width.Milliseconds(), until); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// Sliding returns a processor that passes every record on with the windows that end with it, itself included. They are exact:
// they hold what came before, whose time lies in the window, and came in order or within the store's Lateness. What was passed on
// is not corrected when an older record comes after it.
//
// Name windows as a store of the same Process.
func Sliding[K, V any](observe func(V) Observation, windows SlidingStore[K]) func(*stream.Context[K, Aggregated[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Aggregated[V]], r stream.Record[K, V]) error {
		w := windows.In(c)
		found, err := w.Observe(r.Key, observe(r.Value))
		if err != nil {
			return err
		}
		return c.Forward(r.Key, Aggregated[V]{Value: r.Value, Windows: found, Late: w.Late()})
	}
}
