package processors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Step is a part of a [Pattern].
type Step[V any] struct {
	Match func(V) bool
	// Times is how many records the step takes. The default is 1.
	Times int
}

// Pattern is a sequence of records of one key. Its functions must depend on the value alone: they are called once for
// each record, when it comes. For instance, three declined payments and then an approved one, within ten minutes:
//
//	processors.Pattern[Payment]{
//		Steps:  []processors.Step[Payment]{{Match: Payment.Declined, Times: 3}, {Match: Payment.Approved}},
//		Within: 10 * time.Minute,
//		Reset:  Payment.Approved,
//	}
type Pattern[V any] struct {
	// Steps follow each other, up to 64 of them. Records in between that match nothing are ignored.
	Steps []Step[V]
	// Within is the time from the first record of the sequence, exclusively: (t-Within, t] for a last one at t.
	Within time.Duration
	// Reset forgets what came before a record that it returns true for, after the record was looked at. It may be nil.
	Reset func(V) bool
	// MaxRecords bounds the records that are remembered of a key: of those that match a step, the youngest. The default is
	// 1,000.
	MaxRecords int
}

func (p Pattern[V]) withDefaults() Pattern[V] {
	p.MaxRecords = cmp.Or(p.MaxRecords, 1000)
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		p.Steps[i].Times = cmp.Or(p.Steps[i].Times, 1)
	}
	return p
}

func (p Pattern[V]) validate(store string) error {
	records := 0
	errs := []error{
		mistake(len(p.Steps) == 0 || len(p.Steps) > 64, "a pattern of %d steps: want 1 to 64", len(p.Steps)),
		mistake(p.Within < time.Millisecond, "a pattern within %v: want at least 1ms", p.Within),
	}
	for i, s := range p.Steps {
		errs = append(errs,
			mistake(s.Match == nil, "step %d matches nothing: its function is nil", i+1),
			mistake(s.Times < 1, "step %d takes %d records: want 1 or more", i+1, s.Times))
		records += max(s.Times, 0)
	}
	errs = append(errs, mistake(p.MaxRecords < records, "at most %d records: the pattern takes %d", p.MaxRecords, records))
	return joinMistakes(store, nil, errs...)
}

// Matched is a value that completes a pattern.
type Matched[V any] struct {
	Value V
	// Records are those of the pattern, in the order of its steps; the last one is the record of Value.
	Records []Origin
}

// SequenceStore remembers the records of each key that match a step of a pattern.
type SequenceStore[K, V any] struct {
	store   state.KeyValueStore[K, []candidate]
	pattern Pattern[V]
	err     error
}

// NewSequenceStore declares a store for [Sequence]. It holds some 20 bytes for each record that matches a step.
func NewSequenceStore[K, V any](name string, key serde.Serde[K], pattern Pattern[V]) SequenceStore[K, V] {
	pattern = pattern.withDefaults()
	s := SequenceStore[K, V]{state.NewKeyValueStore(name, key, candidatesSerde), pattern, pattern.validate(name)}
	if s.err == nil {
		// A record is not ignored up to Within behind, its entry may be as far ahead of it, and a sequence is as long.
		s.store = s.store.TTL(3 * pattern.Within)
	}
	return s
}

// Spec implements [state.Definition].
func (s SequenceStore[K, V]) Spec() state.Spec {
	spec := s.store.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// Sequence returns a processor that passes on the records that complete a pattern. A record is looked at as the last one of
// the pattern when it comes; of several sequences that end with it the one with the youngest records is taken. Its records
// are used up: no other sequence takes them, nor what is older.
//
// Records are in order of their times, those of one time in order of arrival. One that comes late takes its place among the others,
// but completes no sequence that ended before. One that comes Within or more behind the stream time of its task is ignored.
//
// Name candidates as a store of the same Process.
func Sequence[K, V any](candidates SequenceStore[K, V]) func(*stream.Context[K, Matched[V]], stream.Record[K, V]) error {
	p := candidates.pattern
	return func(c *stream.Context[K, Matched[V]], r stream.Record[K, V]) error {
		this := candidate{record: Origin{r.Topic, r.Partition, r.Offset, r.Time}, steps: p.steps(r.Value)}
		reset := p.Reset != nil && p.Reset(r.Value)
		now := c.StreamTime()
		if this.steps == 0 && !reset || !r.Time.After(now.Add(-p.Within)) {
			return nil
		}
		store := candidates.store.In(c)
		all, found, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		all, at := p.insert(all, this, now.Add(-2*p.Within))
		if at < 0 {
			return nil
		}
		records := p.find(all[:at+1])
		switch {
		case reset:
			all = all[at+1:]
		case records != nil:
			all = slices.Delete(all, 0, at+1)
		}
		if len(all) > 0 {
			err = store.Put(r.Key, all)
		} else if found {
			err = store.Delete(r.Key)
		}
		if err != nil || records == nil {
			return err
		}
		return c.Forward(r.Key, Matched[V]{r.Value, records})
	}
}

// candidate is a record that matches steps of a pattern.
type candidate struct {
	record Origin
	steps  uint64 // a bit for each step
}

// steps returns the steps that a value matches, a bit for each.
func (p *Pattern[V]) steps(v V) (bits uint64) {
	for i, s := range p.Steps {
		if s.Match(v) {
			bits |= 1 << i
		}
	}
	return bits
}

// insert puts a record in its place and returns where that is, or -1 if there are enough younger ones. It drops what is too
// old or too much.
func (p *Pattern[V]) insert(all []candidate, this candidate, oldest time.Time) ([]candidate, int) {
	at := len(all)
	for at > 0 && all[at-1].record.Time.After(this.record.Time) {
		at--
	}
	all = slices.Insert(all, at, this)
	drop := max(0, len(all)-p.MaxRecords)
	for drop < at && !all[drop].record.Time.After(oldest) {
		drop++
	}
	return slices.Delete(all, 0, drop), at - drop
}

// find returns the youngest sequence that ends with the last record, or nil. Taking the youngest record that matches, step by
// step from the last one back, finds a sequence if there is one.
func (p *Pattern[V]) find(all []candidate) []Origin {
	last := all[len(all)-1]
	since := last.record.Time.Add(-p.Within)
	var records []Origin
	at := len(all) - 1
	for step := len(p.Steps) - 1; step >= 0; step-- {
		for left := p.Steps[step].Times; left > 0; at-- {
			if at < 0 || !all[at].record.Time.After(since) {
				return nil
			}
			if all[at].steps&(1<<step) != 0 {
				records = append(records, all[at].record)
				left--
			} else if at == len(all)-1 {
				return nil // the last record must be part of it
			}
		}
	}
	slices.Reverse(records)
	return records
}

const candidatesVersion = 1

// candidatesSerde writes a version, and for each record its steps and its origin with its length.
var candidatesSerde = serde.Serde[[]candidate]{
	Name: "candidates",
	Encode: func(dst []byte, all []candidate) ([]byte, error) {
		dst = append(dst, candidatesVersion)
		var origin []byte
		for _, c := range all {
			var err error
			if origin, err = originSerde.Encode(origin[:0], c.record); err != nil {
				return dst, err
			}
			dst = binary.AppendUvarint(dst, c.steps)
			dst = binary.AppendUvarint(dst, uint64(len(origin)))
			dst = append(dst, origin...)
		}
		return dst, nil
	},
	Decode: func(b []byte) (all []candidate, err error) {
		if len(b) == 0 || b[0] != candidatesVersion {
			return nil, errors.New("processors: candidates that do not parse")
		}
		d := varint.NewReader(b[1:])
		for d.More() {
			c := candidate{steps: d.Uint()}
			if c.record, err = originSerde.Decode(d.Bytes(d.Uint())); err != nil {
				return nil, err
			}
			all = append(all, c)
		}
		return all, parsed(&d, "candidates")
	},
}
