package main

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// tallies are the counts of windows that are not closed, by the beginning of the window in milliseconds.
var tallies = state.NewKeyValueStore("tallies", serde.Int64, serde.Binary[verdictCounts]())

// Count is how many payments of a window got which verdict. The counts of a window add up: each partition tells its own when the
// window is over, and once more what comes late for it.
type Count struct {
	From     time.Time                    `json:"from"`
	To       time.Time                    `json:"to"` // excluded
	Verdicts map[duplicates.Verdict]int64 `json:"verdicts"`
	Saved    int64                        `json:"saved"` // in charges that were dropped, in minor units
}

// tally counts verdicts by windows of the records' time.
type tally struct {
	every   time.Duration
	dropped func(checkedPayment) bool
}

func (t tally) count(c *stream.Context[string, Count], r stream.Record[string, checkedPayment]) error {
	store, window := tallies.In(c), r.Time.Truncate(t.every).UnixMilli()
	n, _, err := store.Get(window)
	if err != nil {
		return err
	}
	n.add(r.Value.Verdict)
	if t.dropped(r.Value) {
		n.saved += max(r.Value.Payment.Amount, 0)
	}
	return store.Put(window, n)
}

// close tells the counts of the windows that are over.
func (t tally) close(c *stream.Context[string, Count], now time.Time) error {
	store := tallies.In(c)
	var over []state.Entry[int64, verdictCounts]
	for e, err := range store.All() {
		if err != nil {
			return err
		}
		if !time.UnixMilli(e.Key).Add(t.every).After(now) {
			over = append(over, e)
		}
	}
	for _, e := range over {
		from := time.UnixMilli(e.Key).UTC()
		count := Count{From: from, To: from.Add(t.every), Verdicts: e.Value.byVerdict(), Saved: e.Value.saved}
		if err := errors.Join(c.Forward(from.Format(time.RFC3339), count), store.Delete(e.Key)); err != nil {
			return err
		}
	}
	return nil
}

// verdicts is the order in which counts are stored.
var verdicts = duplicates.Verdicts()

// verdictCounts are the counts of one window.
type verdictCounts struct {
	n     [5]int64 // in the order of verdicts
	saved int64
}

func (v *verdictCounts) add(verdict duplicates.Verdict) {
	for i, of := range verdicts {
		if of == verdict {
			v.n[i]++
		}
	}
}

func (v *verdictCounts) byVerdict() map[duplicates.Verdict]int64 {
	counts := make(map[duplicates.Verdict]int64)
	for i, verdict := range verdicts {
		counts[verdict] = v.n[i]
	}
	return counts
}

const countsVersion = 1

// AppendBinary writes a version, then the counts and the sum as varints.
func (v *verdictCounts) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, countsVersion)
	for _, n := range v.n {
		b = binary.AppendVarint(b, n)
	}
	return binary.AppendVarint(b, v.saved), nil
}

func (v *verdictCounts) UnmarshalBinary(b []byte) error {
	bad := errors.New("dedup: stored counts that do not parse")
	if len(b) == 0 || b[0] != countsVersion {
		return bad
	}
	b = b[1:]
	for _, n := range []*int64{&v.n[0], &v.n[1], &v.n[2], &v.n[3], &v.n[4], &v.saved} {
		value, size := binary.Varint(b)
		if size <= 0 {
			return bad
		}
		*n, b = value, b[size:]
	}
	if len(b) > 0 {
		return bad
	}
	return nil
}
