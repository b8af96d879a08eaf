package processors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Checked is a value and whether it was seen before.
type Checked[V any] struct {
	Value     V
	Duplicate bool
	First     Origin // the record that Value repeats, if it is a duplicate
}

// Unique reports whether the value was not seen before. It parts the two with Branch:
//
//	unique, duplicates := checked.Branch(processors.Checked[Payment].Unique)
func (c Checked[V]) Unique() bool { return !c.Duplicate }

// Origin says where and when a record was read. Behind a repartition topic it is the place in that topic.
type Origin struct {
	Topic     string
	Partition int32
	Offset    int64
	Time      time.Time // event time
}

// Dedup returns a processor that passes the first record of each id on, and drops the records that repeat it. See
// [MarkDuplicates] for what counts as a repetition, and for a way to keep the duplicates.
//
// Name seen as a store of the same Process.
func Dedup[K, V any](id func(V) string, seen DedupStore[K]) func(*stream.Context[K, V], stream.Record[K, V]) error {
	return func(c *stream.Context[K, V], r stream.Record[K, V]) error {
		checked, err := check(c, r, id, seen)
		if err != nil || checked.Duplicate {
			return err
		}
		return c.Forward(r.Key, r.Value)
	}
}

// MarkDuplicates returns a processor that passes every record on, with the answer to whether it is a duplicate, and
// of which record.
//
// A record is a duplicate if a record with the same key and the same id was passed on as the first one before, and
// their event times are less than the store's TTL apart. The TTL counts from the first record; duplicates do not
// prolong it. So there is one first record per id and TTL. Without a TTL an id is remembered for ever.
//
// A record with an empty id is passed on as unique and not remembered. So is one that comes the TTL or more
// behind the stream time of its task: what it could repeat is forgotten.
//
// The same record read again, after a crash, is not a duplicate of itself.
//
// Name seen as a store of the same Process.
func MarkDuplicates[K, V any](id func(V) string, seen DedupStore[K]) func(*stream.Context[K, Checked[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Checked[V]], r stream.Record[K, V]) error {
		checked, err := check(c, r, id, seen)
		if err != nil {
			return err
		}
		return c.Forward(r.Key, checked)
	}
}

func check[K, V any](c state.Context, r stream.Record[K, V], id func(V) string, seen DedupStore[K]) (Checked[V], error) {
	unique := Checked[V]{Value: r.Value}
	key := pair[K, string]{r.Key, id(r.Value)}
	if key.part == "" {
		return unique, nil
	}
	store := seen.store.In(c)
	this := Origin{r.Topic, r.Partition, r.Offset, r.Time}
	first, found, err := store.Get(key)
	switch {
	case err != nil:
		return Checked[V]{}, err
	case !found:
		return unique, store.Put(key, this)
	case first == this:
		return unique, nil
	case !seen.covers(first.Time, r.Time):
		// Out of order, and older than the first record by the TTL or more. Remembering it would make the store
		// forget the newer one.
		return unique, nil
	}
	return Checked[V]{Value: r.Value, Duplicate: true, First: first}, nil
}

// DedupStore remembers ids per key.
type DedupStore[K any] struct {
	store state.KeyValueStore[pair[K, string], Origin]
}

// NewDedupStore declares a store for [Dedup] or [MarkDuplicates] on a stream with keys of type K. It needs about
// 30 bytes per id besides the key and the id themselves, so replace a long id by a hash of it.
func NewDedupStore[K any](name string, key serde.Serde[K]) DedupStore[K] {
	return DedupStore[K]{state.NewKeyValueStore(name, pairSerde(key, serde.String), originSerde)}
}

// TTL returns the declaration with a time to live of ids, in event time. Zero, the default, is for ever.
func (s DedupStore[K]) TTL(d time.Duration) DedupStore[K] { return DedupStore[K]{s.store.TTL(d)} }

// Spec implements [state.Definition].
func (s DedupStore[K]) Spec() state.Spec { return s.store.Spec() }

// covers reports whether two event times are close enough for one record to repeat the other.
func (s DedupStore[K]) covers(a, b time.Time) bool {
	ttl := s.store.Spec().TTL
	return ttl == 0 || b.Sub(a).Abs() < ttl
}

// originVersion is the first byte of a stored origin.
const originVersion = 1

// originSerde writes a version, partition, offset and time as varints, and the topic.
var originSerde = serde.Serde[Origin]{
	Name: "origin",
	Encode: func(dst []byte, v Origin) ([]byte, error) {
		dst = append(dst, originVersion)
		dst = binary.AppendVarint(dst, int64(v.Partition))
		dst = binary.AppendVarint(dst, v.Offset)
		dst = binary.AppendVarint(dst, v.Time.UnixMilli())
		return append(dst, v.Topic...), nil
	},
	Decode: func(b []byte) (Origin, error) {
		if len(b) == 0 || b[0] != originVersion {
			return Origin{}, fmt.Errorf("processors: an origin that begins with % x, not with version %d", b[:min(len(b), 1)], originVersion)
		}
		b = b[1:]
		var numbers [3]int64
		for i := range numbers {
			v, n := binary.Varint(b)
			if n <= 0 {
				return Origin{}, errors.New("processors: an origin that is cut off")
			}
			numbers[i], b = v, b[n:]
		}
		return Origin{Topic: string(b), Partition: int32(numbers[0]), Offset: numbers[1], Time: time.UnixMilli(numbers[2]).UTC()}, nil
	},
}
