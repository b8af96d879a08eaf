package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// txnBatch is a batch of a transaction, one record for each value.
func txnBatch(id int64, epoch int16, sequence int32, values ...string) record.Batch {
	var w record.Builder
	for _, v := range values {
		w.Append(epochMillis, nil, []byte(v))
	}
	w.SetProducer(id, epoch, sequence)
	b := w.Finish()
	b.SetTransactional()
	return b
}

var epochMillis = epoch.UnixMilli()

// txnModel is the truth about transactions, as a list of all that happened.
type txnModel struct {
	open    map[int64]int64
	epochs  map[int64]int16
	seqs    map[int64]int32
	aborted []producer.Aborted
}

func newTxnModel() *txnModel {
	return &txnModel{open: map[int64]int64{}, epochs: map[int64]int16{}, seqs: map[int64]int32{}}
}

func (m *txnModel) stable(end int64) int64 {
	for _, first := range m.open {
		end = min(end, first)
	}
	return end
}

func (m *txnModel) overlapping(from, upTo int64) []producer.Aborted {
	found := []producer.Aborted{}
	for _, a := range m.aborted {
		if a.First < upTo && a.Last >= from {
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b producer.Aborted) int { return cmp.Compare(a.First, b.First) })
	return found
}

// step appends a batch or a marker of one of three producers, TV1 or TV2.
func (m *txnModel) step(t *testing.T, l *Log, rng *rand.Rand) {
	t.Helper()
	id := int64(rng.IntN(3))
	if rng.IntN(5) > 0 {
		n := 1 + rng.IntN(3)
		a, err := l.Append(txnBatch(id, m.epochs[id], m.seqs[id], make([]string, n)...), epoch)
		if err != nil {
			t.Fatal(err)
		}
		m.seqs[id] += int32(n)
		if _, ok := m.open[id]; !ok {
			m.open[id] = a.BaseOffset
		}
		return
	}
	marker := producer.Marker{ID: id, Epoch: m.epochs[id], Commit: rng.IntN(2) == 0}
	if _, ok := m.open[id]; ok && rng.IntN(2) == 0 {
		marker.Raised = true
		marker.Epoch++
		m.epochs[id], m.seqs[id] = marker.Epoch, 0
	}
	a, err := l.AppendMarker(marker, epoch)
	if err != nil {
		t.Fatal(err)
	}
	if first, ok := m.open[id]; ok && !marker.Commit {
		m.aborted = append(m.aborted, producer.Aborted{ID: id, First: first, Last: a.BaseOffset})
	}
	delete(m.open, id)
}

func (m *txnModel) check(t *testing.T, l *Log, rng *rand.Rand, when string) {
	t.Helper()
	stable := m.stable(l.EndOffset())
	if got := l.LastStableOffset(); got != stable {
		t.Fatalf("%s: LastStableOffset() = %d, want %d", when, got, stable)
	}
	for range 5 {
		from := rng.Int64N(stable + 1)
		upTo := from + rng.Int64N(stable-from+1)
		got, err := l.Aborted(from, upTo)
		if err != nil {
			t.Fatal(err)
		}
		if diff := gocmp.Diff(m.overlapping(from, upTo), got); diff != "" {
			t.Fatalf("%s: Aborted(%d, %d) (-want +got):\n%s", when, from, upTo, diff)
		}
	}
}

// What is stable and what was aborted is the same while the log grows over many
// segments, after it was closed, after a crash, and without its indexes.
func TestTransactionsAgainstModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 7))
		fsys := vfs.NewMem()
		cfg := Config{SegmentBytes: 700, MarkBytes: 300, IndexIntervalBytes: 100}
		l, err := Open(fsys, cfg, epoch)
		if err != nil {
			t.Fatal(err)
		}
		m := newTxnModel()
		for i := range 150 {
			m.step(t, l, rng)
			m.check(t, l, rng, fmt.Sprintf("seed %d step %d", seed, i))
			if i%25 != 24 {
				continue
			}
			switch rng.IntN(3) {
			case 0:
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			case 1:
				if err := l.Flush(); err != nil {
					t.Fatal(err)
				}
				fsys = fsys.CrashClone(50*rng.IntN(3), rng)
			case 2:
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				names, _ := fsys.List(".")
				for _, name := range names {
					if _, suffix, ok := parseFileName(name); ok && suffix != logSuffix && (suffix != snapshotSuffix || rng.IntN(2) == 0) {
						if err := fsys.Remove(name); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			if l, err = Open(fsys, cfg, epoch); err != nil {
				t.Fatal(err)
			}
			m.check(t, l, rng, fmt.Sprintf("seed %d after a restart at %d", seed, i))
		}
		if n := l.Segments(); n < 5 || len(m.aborted) < 2 {
			t.Errorf("seed %d: %d segments, %d aborted transactions: too few to say anything", seed, n, len(m.aborted))
		}
		if err := errors.Join(l.Verify(), l.Close()); err != nil {
			t.Error(err)
		}
	}
}

// A marker that the log has already, as a coordinator repeats it after a crash, is not
// written again, and one of an earlier transaction is refused.
func TestMarkerIsWrittenOnce(t *testing.T) {
	t.Parallel()
	l, err := Open(vfs.NewMem(), Config{}, epoch)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := l.Append(txnBatch(1, 0, 0, "a"), epoch); err != nil {
		t.Fatal(err)
	}
	marker := producer.Marker{ID: 1, Epoch: 1, Raised: true, Commit: true}
	for i := range 2 {
		a, err := l.AppendMarker(marker, epoch)
		if err != nil || a.Duplicate != (i == 1) || a.NextOffset != 2 {
			t.Errorf("marker %d: %+v, %v", i, a, err)
		}
	}
	if _, err := l.Append(txnBatch(1, 1, 0, "b"), epoch); err != nil {
		t.Fatal(err)
	}
	if _, err := l.AppendMarker(marker, epoch); !errors.Is(err, producer.ErrInvalidProducerEpoch) {
		t.Errorf("a late marker: %v, want ErrInvalidProducerEpoch", err)
	}
	if got := l.LastStableOffset(); got != 2 {
		t.Errorf("LastStableOffset() = %d, want 2", got)
	}
	if _, err := l.AppendFromStart(txnBatch(9, 0, 4, "c"), epoch); !errors.Is(err, producer.ErrOutOfOrderSequence) {
		t.Errorf("AppendFromStart of an unknown producer at 4: %v, want ErrOutOfOrderSequence", err)
	}
}

func FuzzParseTxnIndex(f *testing.F) {
	x := txnIndex{stable: 12, aborted: []producer.Aborted{{ID: 1, First: 10, Last: 12}, {ID: 2, First: 3, Last: 15}}}
	f.Add(x.encode(10, 20))
	f.Add(txnIndex{}.encode(10, 20))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := parseTxnIndex(b, 10, 20)
		switch {
		case err == nil && !slices.Equal(x.encode(10, 20), b):
			t.Errorf("parsed %x, but it is %x", b, x.encode(10, 20))
		case err != nil && !errors.Is(err, errBadIndex):
			t.Errorf("parseTxnIndex: %v, want errBadIndex", err)
		}
	})
}
