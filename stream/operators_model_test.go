package stream_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// Topics with room for null in keys and values.
var (
	plainIn  = stream.NewTopic("in", serde.Bytes, serde.Bytes)
	plainMid = stream.NewTopic("mid", serde.Bytes, serde.Bytes)
	plainOut = stream.NewTopic("out", serde.Bytes, serde.Bytes)
)

type (
	plainStream = stream.Stream[[]byte, []byte]
	plainRecord = stream.Record[[]byte, []byte]
)

// plainOp is an operator that depends on the record alone, and what it does to one record: next is called with what goes on.
type plainOp struct {
	name   string
	define func(s plainStream, m *plainModel) plainStream
	apply  func(r plainRecord, m *plainModel, next func(plainRecord) error) error
}

// plainModel is what a program of such operators brings about beside its results.
type plainModel struct {
	peeked []string      // by Peek and PeekRecord of the topology, and then of the model
	mid    []plainRecord // written by To
}

var errBad = errors.New("bad value")

// Functions for the operators. They say yes and no, fail and panic, by the value.
func isShort(v []byte) bool { return len(v) < 2 }

func isLate(r plainRecord) bool { return len(r.Key)%2 == 0 || r.Time.UnixMilli()%2 == 0 }

func tryShort(v []byte) (bool, error) {
	if bytes.Contains(v, []byte("x")) {
		return true, errBad
	}
	return isShort(v), nil
}

// louder keeps null as null, and empty as empty.
func louder(v []byte) []byte {
	if v == nil {
		return nil
	}
	return append(append([]byte{}, v...), "!"[:len(v)%2]...)
}

func described(r plainRecord) []byte {
	return fmt.Appendf(nil, "%s/%t/%d/%s%d", r.Key, r.Key == nil, r.Time.UnixMilli(), r.Topic, r.Offset)[:len(r.Value)%4]
}

func tryLouder(v []byte) ([]byte, error) {
	if bytes.Contains(v, []byte("p")) {
		panic("a p")
	}
	_, err := tryShort(v)
	return louder(v), err
}

func letterwise(v []byte) [][]byte { return bytes.Split(v, nil) }

func twice(r plainRecord) [][]byte { return [][]byte{r.Value, r.Key} }

func tryLetterwise(v []byte) ([][]byte, error) {
	_, err := tryShort(v)
	return letterwise(v), err
}

func otherKey(k, v []byte) []byte {
	if len(v) == 1 {
		return nil
	}
	return append(append([]byte{}, k...), 'k')
}

func with(r plainRecord, v []byte) plainRecord {
	r.Value = v
	return r
}

func each(r plainRecord, vs [][]byte, next func(plainRecord) error) error {
	for _, v := range vs {
		if err := next(with(r, v)); err != nil {
			return err
		}
	}
	return nil
}

var plainOps = []plainOp{
	{
		"Filter", func(s plainStream, _ *plainModel) plainStream { return s.Filter(isShort) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			if !isShort(r.Value) {
				return nil
			}
			return next(r)
		},
	},
	{
		"FilterRecord", func(s plainStream, _ *plainModel) plainStream { return s.FilterRecord(isLate) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			if !isLate(r) {
				return nil
			}
			return next(r)
		},
	},
	{
		"TryFilter", func(s plainStream, _ *plainModel) plainStream { return s.TryFilter(tryShort) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			if ok, err := tryShort(r.Value); err != nil || !ok {
				return err
			}
			return next(r)
		},
	},
	{
		"Map", func(s plainStream, _ *plainModel) plainStream { return s.Map(louder) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			return next(with(r, louder(r.Value)))
		},
	},
	{
		"MapRecord", func(s plainStream, _ *plainModel) plainStream { return s.MapRecord(described) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			return next(with(r, described(r)))
		},
	},
	{
		"TryMap", func(s plainStream, _ *plainModel) plainStream { return s.TryMap(tryLouder) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			v, err := tryLouder(r.Value)
			if err != nil {
				return err
			}
			return next(with(r, v))
		},
	},
	{
		"FlatMap", func(s plainStream, _ *plainModel) plainStream { return s.FlatMap(letterwise) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			return each(r, letterwise(r.Value), next)
		},
	},
	{
		"FlatMapRecord", func(s plainStream, _ *plainModel) plainStream { return s.FlatMapRecord(twice) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error { return each(r, twice(r), next) },
	},
	{
		"TryFlatMap", func(s plainStream, _ *plainModel) plainStream { return s.TryFlatMap(tryLetterwise) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			vs, err := tryLetterwise(r.Value)
			if err != nil {
				return err
			}
			return each(r, vs, next)
		},
	},
	{
		"Peek", func(s plainStream, m *plainModel) plainStream {
			return s.Peek(func(v []byte) { m.peeked = append(m.peeked, string(v)) })
		},
		func(r plainRecord, m *plainModel, next func(plainRecord) error) error {
			m.peeked = append(m.peeked, string(r.Value)) // stays, whatever becomes of the record
			return next(r)
		},
	},
	{
		"PeekRecord", func(s plainStream, m *plainModel) plainStream {
			return s.PeekRecord(func(r plainRecord) { m.peeked = append(m.peeked, fmt.Sprintf("%s=%s", r.Key, r.Value)) })
		},
		func(r plainRecord, m *plainModel, next func(plainRecord) error) error {
			m.peeked = append(m.peeked, fmt.Sprintf("%s=%s", r.Key, r.Value))
			return next(r)
		},
	},
	{
		"Branch", func(s plainStream, _ *plainModel) plainStream {
			yes, no := s.Branch(isShort)
			return yes.Map(louder).Merge(no)
		},
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			if isShort(r.Value) {
				r.Value = louder(r.Value)
			}
			return next(r)
		},
	},
	{
		"Merge", // what was defined first comes first
		func(s plainStream, _ *plainModel) plainStream { return s.Merge(s.Filter(isShort), s.TryMap(tryLouder)) },
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			if isShort(r.Value) {
				if err := next(r); err != nil {
					return err
				}
			}
			v, err := tryLouder(r.Value)
			if err != nil {
				return err
			}
			return each(r, [][]byte{v, r.Value}, next)
		},
	},
	{
		"Rekey", func(s plainStream, _ *plainModel) plainStream {
			return s.Rekey("other-key", serde.Bytes, serde.Bytes, otherKey)
		},
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			r.Key = otherKey(r.Key, r.Value)
			return next(r)
		},
	},
	{
		"Process", // a failure takes back what was sent before, also where it is kept to itself
		func(s plainStream, _ *plainModel) plainStream {
			return s.Process("again", func(c *stream.Context[[]byte, []byte], r plainRecord) error {
				err := errors.Join(c.Forward(otherKey(r.Key, r.Value), r.Value), c.Forward(r.Key, r.Key))
				if len(r.Value) == 3 {
					return errBad
				}
				if len(r.Key) == 1 {
					return nil // the record has failed all the same, and nothing more is shown to a Peek
				}
				return err
			})
		},
		func(r plainRecord, _ *plainModel, next func(plainRecord) error) error {
			other := r
			other.Key = otherKey(r.Key, r.Value)
			err := errors.Join(next(other), next(with(r, r.Key)))
			if len(r.Value) == 3 {
				return errBad
			}
			return err
		},
	},
	{
		"To", func(s plainStream, _ *plainModel) plainStream {
			s.To(plainMid)
			return s
		},
		func(r plainRecord, m *plainModel, next func(plainRecord) error) error {
			m.mid = append(m.mid, r)
			return next(r)
		},
	},
}

// Any program of the operators that depend on the record alone, of up to six, does with each record what the model does, one
// operator after the other; and one that fails anywhere leaves nothing but what it was shown to a Peek. Records have times in
// any order, null and empty keys and values, and headers.
func TestOperatorsModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		var ops []plainOp
		var names []string
		for _, op := range rapid.SliceOfN(rapid.SampledFrom(plainOps), 1, 6).Draw(rt, "operators") {
			if n := strings.Count(strings.Join(names, " "), op.name); n > 0 && (op.name == "Rekey" || op.name == "Process") {
				continue // its name is taken
			}
			ops, names = append(ops, op), append(names, op.name)
		}
		ofValue := rapid.Bool().Draw(rt, "event time of the value")
		eventTime := func(v []byte) time.Time { return time.UnixMilli(int64(len(v)) - 2) } // a negative one fails
		got, model := new(plainModel), new(plainModel)
		topology := build(t, func(b *stream.Builder) {
			in := plainIn
			if ofValue {
				in = in.EventTime(eventTime)
			}
			s := b.From(in)
			for _, op := range ops {
				s = op.define(s, got)
			}
			s.To(plainOut)
		})
		var apply func(n int, r plainRecord, out *[]plainRecord) error
		apply = func(n int, r plainRecord, out *[]plainRecord) error {
			if n == len(ops) {
				*out = append(*out, r)
				return nil
			}
			return ops[n].apply(r, model, func(r plainRecord) error { return apply(n+1, r, out) })
		}
		d := streamtest.New(rt, topology)
		maybe := rapid.SampledFrom([][]byte{nil, {}, []byte("a"), []byte("ab"), []byte("abc"), []byte("x"), []byte("ap")})
		for i := range rapid.Int64Range(1, 20).Draw(rt, "records") {
			r := plainRecord{
				Key: maybe.Draw(rt, "key"), Value: maybe.Draw(rt, "value"), Time: time.UnixMilli(rapid.Int64Range(0, 9).Draw(rt, "time")).UTC(),
				Topic: "in", Offset: i,
			}
			if r.Key == nil || r.Value == nil {
				d.PipeBytes("in", r.Key, r.Value, r.Time)
			} else {
				r.Headers = []stream.Header{{Key: "n", Value: []byte{byte(i)}}}
				d.PipeRecord(plainIn, r)
			}
			var want []plainRecord
			model.mid = nil
			if ofValue && r.Value != nil {
				r.Time = eventTime(r.Value).UTC()
			}
			failed := r.Time.UnixMilli() < 0 || fails(func() error { return apply(0, r, &want) })
			if failed {
				want, model.mid = nil, nil
			}
			if letters := d.DeadLetters(); failed != (len(letters) == 1) || len(letters) > 1 {
				rt.Fatalf("%v: record %d, %q: dead letters %v, failed in the model: %t", names, i, r.Value, letters, failed)
			}
			got := [][]string{texts(d.ReadBytes("out")), texts(d.ReadBytes("mid")), got.peeked}
			if diff := cmp.Diff([][]string{texts(want), texts(model.mid), model.peeked}, got); diff != "" {
				rt.Fatalf("%v: record %d, %q: outputs, in between, peeked (-want +got):\n%s", names, i, r.Value, diff)
			}
			if rapid.IntRange(0, 9).Draw(rt, "restart") == 0 {
				d.Restart()
			}
		}
	})
}

// fails reports whether f fails or panics.
func fails(f func() error) (failed bool) {
	defer func() { failed = failed || recover() != nil }()
	return f() != nil
}

// texts show records, null apart from empty, without what a topic makes of their origin.
func texts(records []plainRecord) (lines []string) {
	for _, r := range records {
		lines = append(lines, fmt.Sprintf("%q %t=%q %t@%d %v", r.Key, r.Key == nil, r.Value, r.Value == nil, r.Time.UnixMilli(), r.Headers))
	}
	return lines
}
