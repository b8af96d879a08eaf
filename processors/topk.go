package processors

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Ranked is an item of a ranking. It was counted at least Count-Error and at most Count times.
type Ranked struct {
	Item         string
	Count, Error int64
}

// TopKConfig bounds a ranking.
type TopKConfig struct {
	K int // items that are passed on, 1 or more
	// Capacity is how many items of a key are counted. As long as a key has not had more, its ranking is exact. The default
	// is ten times K.
	Capacity int
}

// TopKStore counts the items of each key.
type TopKStore[K any] struct {
	store state.KeyValueStore[K, []Ranked]
	cfg   TopKConfig
	err   error
}

// NewTopKStore declares a store for [TopK]. An entry holds up to Capacity items with their names, and is read and written
// for each record.
func NewTopKStore[K any](name string, key serde.Serde[K], cfg TopKConfig) TopKStore[K] {
	cfg.Capacity = cmp.Or(cfg.Capacity, 10*cfg.K)
	return TopKStore[K]{store: state.NewKeyValueStore(name, key, rankingSerde), cfg: cfg, err: joinMistakes(name, nil,
		mistake(cfg.K < 1, "top %d: want 1 or more", cfg.K),
		mistake(cfg.Capacity < cfg.K, "a capacity of %d for the top %d: want at least as many", cfg.Capacity, cfg.K))}
}

// Spec implements [state.Definition].
func (s TopKStore[K]) Spec() state.Spec {
	spec := s.store.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// TopK returns a processor that counts items and passes on a key's ranking whenever it has changed: the K items with the highest
// counts, the highest first, equal ones in the order of their names. A record with an empty item is dropped.
//
// The counting is Space-Saving (Metwally, Agrawal, El Abbadi 2005). Among more items than the store's Capacity a new one takes the
// place of one with the lowest count, and that count as its error. With n records and capacity m no error is above n/m, and every
// item with more than n/m records is counted.
//
// Name counts as a store of the same Process.
func TopK[K, V any](item func(V) string, counts TopKStore[K]) func(*stream.Context[K, []Ranked], stream.Record[K, V]) error {
	return func(c *stream.Context[K, []Ranked], r stream.Record[K, V]) error {
		name := item(r.Value)
		if name == "" {
			return nil
		}
		store := counts.store.In(c)
		ranking, _, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		ranking, place := count(ranking, name, counts.cfg.Capacity)
		if err := store.Put(r.Key, ranking); err != nil {
			return err
		}
		if place >= counts.cfg.K {
			return nil
		}
		n := min(len(ranking), counts.cfg.K)
		return c.Forward(r.Key, ranking[:n:n])
	}
}

// count adds one to an item of a ranking, and returns the place the item then has.
func count(ranking []Ranked, item string, capacity int) ([]Ranked, int) {
	at := slices.IndexFunc(ranking, func(r Ranked) bool { return r.Item == item })
	counted := Ranked{Item: item}
	switch {
	case at >= 0:
		counted = ranking[at]
	case len(ranking) < capacity:
		at = len(ranking)
		ranking = append(ranking, counted)
	default:
		at = len(ranking) - 1
		counted.Count, counted.Error = ranking[at].Count, ranking[at].Count
	}
	counted.Count++
	for ; at > 0 && compareRanked(ranking[at-1], counted) > 0; at-- {
		ranking[at] = ranking[at-1]
	}
	ranking[at] = counted
	return ranking, at
}

func compareRanked(a, b Ranked) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Item, b.Item))
}

const rankingVersion = 1

// rankingSerde writes a version, and for each item the count, the error and the name with its length.
var rankingSerde = serde.Serde[[]Ranked]{
	Name: "ranking",
	Encode: func(dst []byte, ranking []Ranked) ([]byte, error) {
		dst = append(dst, rankingVersion)
		for _, r := range ranking {
			dst = binary.AppendUvarint(dst, uint64(r.Count))
			dst = binary.AppendUvarint(dst, uint64(r.Error))
			dst = binary.AppendUvarint(dst, uint64(len(r.Item)))
			dst = append(dst, r.Item...)
		}
		return dst, nil
	},
	Decode: func(b []byte) (ranking []Ranked, err error) {
		if len(b) == 0 || b[0] != rankingVersion {
			return nil, errors.New("processors: a ranking that does not parse")
		}
		d := varint.NewReader(b[1:])
		for d.More() {
			r := Ranked{Count: int64(d.Uint()), Error: int64(d.Uint())}
			r.Item = string(d.Bytes(d.Uint()))
			ranking = append(ranking, r)
		}
		return ranking, parsed(&d, "rankings")
	},
}
