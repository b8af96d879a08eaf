package processors

import (
	"encoding/binary"
	"errors"
	"math"
	"time"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Deviation is a value and how far it lies from what its key did before.
type Deviation[V any] struct {
	Value V
	// Mean, StdDev and Weight describe the key before this record. Weight is the number of records, each counted for less
	// the older it is.
	Mean, StdDev, Weight float64
	// Score is (x - Mean) / StdDev: how many standard deviations the value lies above the mean, or below it. It is 0 without a
	// history, and infinite if the key has only ever had one other amount.
	Score float64
}

// DeviationConfig says how a key's history counts.
type DeviationConfig struct {
	// HalfLife is the age at which a record counts half.
	HalfLife time.Duration
	// Forget is how far stream time must have passed the record that came last for a key to begin anew. The default is ten
	// half-lives, when that record counts a thousandth.
	Forget time.Duration
}

// DeviationStore remembers mean and variance of each key, in some 35 bytes.
type DeviationStore[K any] struct {
	store    state.KeyValueStore[K, moments]
	halfLife float64 // milliseconds
	err      error
}

// NewDeviationStore declares a store for [Deviate].
func NewDeviationStore[K any](name string, key serde.Serde[K], cfg DeviationConfig) DeviationStore[K] {
	if cfg.Forget == 0 {
		cfg.Forget = 10 * cfg.HalfLife
	}
	return DeviationStore[K]{
		store:    state.NewKeyValueStore(name, key, momentsSerde).TTL(cfg.Forget),
		halfLife: float64(cfg.HalfLife.Milliseconds()),
		err:      joinMistakes(name, nil, mistake(cfg.HalfLife < time.Millisecond, "half-life %v: want at least 1ms", cfg.HalfLife)),
	}
}

// Spec implements [state.Definition].
func (s DeviationStore[K]) Spec() state.Spec {
	spec := s.store.Spec()
	spec.Err = errors.Join(spec.Err, s.err)
	return spec
}

// Deviate returns a processor that passes every record on with its distance from its key's own history: the
// exponentially decayed mean and standard deviation of the amounts before it. A record that is not finite fails.
//
// With h the half-life, each record of age a weighs w = 2^(-a/h). For amounts x before this one,
//
//	Weight = Σ w,  Mean = Σ w·x / Weight,  StdDev = √(Σ w·(x-Mean)² / Weight)
//
// computed in one pass (West 1979, Updating mean and variance estimates). A record that comes out of order is
// compared with the history as it stands, and enters it with the weight of its age.
//
// Name history as a store of the same Process.
func Deviate[K, V any](amount func(V) float64, history DeviationStore[K]) func(*stream.Context[K, Deviation[V]], stream.Record[K, V]) error {
	return func(c *stream.Context[K, Deviation[V]], r stream.Record[K, V]) error {
		x := amount(r.Value)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return errors.New("processors: deviation of an amount that is not finite")
		}
		store := history.store.In(c)
		m, _, err := store.Get(r.Key)
		if err != nil {
			return err
		}
		now := r.Time.UnixMilli()
		weight := m.age(now, history.halfLife)
		d := m.deviation(x)
		m.add(x, weight)
		if err := store.Put(r.Key, m); err != nil {
			return err
		}
		return c.Forward(r.Key, Deviation[V]{r.Value, d.Mean, d.StdDev, d.Weight, d.Score})
	}
}

// moments are the decayed moments of a key's amounts at the time of its youngest record.
type moments struct {
	at           int64   // milliseconds
	weight, mean float64 // Σ w, Σ w·x / Σ w
	square       float64 // Σ w·(x-mean)²
}

// age moves the moments to the time of a record, if that is younger, and returns the weight of the record.
func (m *moments) age(now int64, halfLife float64) float64 {
	if m.weight == 0 {
		m.at = now
		return 1
	}
	decay := math.Exp2(-math.Abs(float64(now-m.at)) / halfLife)
	if now < m.at {
		return decay
	}
	m.at = now
	m.weight *= decay
	m.square *= decay
	return 1
}

// add takes an amount in. The conversions keep a compiler from fusing operations: all machines get the same bits.
func (m *moments) add(x, weight float64) {
	delta := x - m.mean
	m.weight += weight
	if m.weight == 0 {
		return // too old to weigh anything
	}
	m.mean += float64(weight * delta / m.weight)
	m.square += float64(float64(weight*delta) * (x - m.mean))
}

func (m *moments) deviation(x float64) (d Deviation[struct{}]) {
	if m.weight == 0 {
		return d
	}
	d.Weight, d.Mean, d.StdDev = m.weight, m.mean, math.Sqrt(max(0, m.square/m.weight))
	if x != m.mean {
		d.Score = (x - m.mean) / d.StdDev
	}
	return d
}

const momentsVersion = 1

// momentsSerde writes a version, the time as a varint, and three floats.
var momentsSerde = serde.Serde[moments]{
	Name: "moments",
	Encode: func(dst []byte, m moments) ([]byte, error) {
		dst = binary.AppendVarint(append(dst, momentsVersion), m.at)
		for _, f := range [...]float64{m.weight, m.mean, m.square} {
			dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
		}
		return dst, nil
	},
	Decode: func(b []byte) (m moments, err error) {
		if len(b) == 0 || b[0] != momentsVersion {
			return m, errors.New("processors: moments that do not parse")
		}
		d := varint.NewReader(b[1:])
		m.at = d.Int()
		for _, f := range [...]*float64{&m.weight, &m.mean, &m.square} {
			if b := d.Bytes(8); b != nil {
				*f = math.Float64frombits(binary.BigEndian.Uint64(b))
			}
		}
		return m, parsed(&d, "moments")
	},
}
