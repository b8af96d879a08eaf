package commitlog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// TestCompactModel compares a log that is compacted with all that was ever appended
// to it, over appends, transactions, cleanings, restarts and crashes.
func TestCompactModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &compactModel{
			fs: vfs.NewMem(), now: epoch, sequences: map[int64]int32{}, seen: map[int64]int64{}, producers: map[int64]*txnProducer{},
			cfg: Config{
				SegmentBytes:       rapid.Int64Range(100, 2000).Draw(t, "segmentBytes"),
				IndexIntervalBytes: rapid.IntRange(1, 500).Draw(t, "indexInterval"),
				MarkBytes:          rapid.Int64Range(1, 2000).Draw(t, "markBytes"),
			},
		}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":   m.append,
			"abort":    m.abort,
			"writeTxn": m.writeTxn,
			"endTxn":   m.endTxn,
			"compact":  m.compact,
			"restart":  m.restart,
			"crash":    m.crash,
		})
		m.check(t)
		m.codecs.close()
		if err := m.log.Verify(); err != nil {
			t.Fatalf("Verify: %v", err)
		}
		if err := m.log.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	})
}

const tombstonesKept = time.Hour

// keyed is one record that was appended.
type keyed struct {
	offset, timestamp int64
	key               int
	value             string // empty: a tombstone
	aborted           bool
}

type compactModel struct {
	fs        *vfs.Mem
	cfg       Config
	log       *Log
	now       time.Time
	all       []keyed
	cleaned   int64           // below it everything was cleaned
	seen      map[int64]int64 // when a cleaning first saw a tombstone, ms, by offset
	sequences map[int64]int32
	producers map[int64]*txnProducer
	ended     []endedTxn
	count     int
	codecs    codecs
}

func (m *compactModel) open(t *rapid.T) {
	l, err := Open(m.fs, m.cfg, m.now)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if r := l.Recovery(); len(r.Corrupt) > 0 || r.Quarantined {
		t.Fatalf("Recovery = %+v", r)
	}
	m.log = l
}

// records draws a few records and appends them to b and to the model.
func (m *compactModel) records(t *rapid.T, b *record.Builder, aborted bool) {
	base := m.log.EndOffset()
	for i := range rapid.IntRange(1, 4).Draw(t, "records") {
		m.count++
		r := keyed{
			offset: base + int64(i), timestamp: m.now.UnixMilli() + int64(i),
			key: rapid.IntRange(0, 7).Draw(t, "key"), aborted: aborted,
		}
		if rapid.IntRange(0, 3).Draw(t, "tombstone") > 0 {
			r.value = fmt.Sprintf("%d-%0*d", m.count, rapid.IntRange(1, 60).Draw(t, "padding"), 1)
		}
		b.Append(r.timestamp, fmt.Append(nil, "key", r.key), nilIfEmpty(r.value))
		m.all = append(m.all, r)
	}
}

func nilIfEmpty(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

func time600(t *rapid.T) time.Duration {
	return time.Duration(rapid.IntRange(1, 600).Draw(t, "seconds")) * time.Second
}

func (m *compactModel) append(t *rapid.T) {
	m.now = m.now.Add(time600(t))
	var b record.Builder
	m.records(t, &b, false)
	if id := rapid.Int64Range(-1, 2).Draw(t, "producer"); id >= 0 {
		b.SetProducer(id, 0, m.sequences[id])
		m.sequences[id] += int32(b.Count())
	}
	batch := b.Finish()
	if codec := rapid.SampledFrom([]record.Codec{0, 0, 0, 0, 0, 0, 1, 2, 3, 4}).Draw(t, "codec"); codec != record.None {
		batch = packed(t, batch, codec)
	}
	a, err := m.log.Append(batch, m.now)
	if err != nil || a.Duplicate {
		t.Fatalf("Append = %+v, %v", a, err)
	}
}

// abort appends a transaction that is aborted.
func (m *compactModel) abort(t *rapid.T) {
	const id = 9
	var b record.Builder
	b.SetProducer(id, 0, m.sequences[id])
	m.records(t, &b, true)
	m.sequences[id] += int32(b.Count())
	batch := transactional(b.Finish())
	if _, err := m.log.Append(batch, m.now); err != nil {
		t.Fatalf("Append: %v", err)
	}
	if _, err := m.log.AppendMarker(producer.Marker{ID: id}, m.now); err != nil {
		t.Fatalf("AppendMarker: %v", err)
	}
	m.all = append(m.all, keyed{offset: m.log.EndOffset() - 1, key: -1}) // the marker
}

func (m *compactModel) compact(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "later")) * time.Second)
	if err := m.log.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	spec := CompactSpec{
		Below: m.log.EndOffset(), MaxMapBytes: minKeyMapSize, DeleteRetention: tombstonesKept,
		MinDirtyRatio: rapid.SampledFrom([]float64{0, 0.5}).Draw(t, "ratio"),
	}
	c, err := m.log.Compact(spec, m.now)
	if err != nil {
		t.Fatalf("Compact: %v", err)
	}
	if !c.Cleaned {
		return
	}
	if c.CleanedOffset > m.stable() {
		t.Fatalf("clean up to %d, above the last stable offset %d", c.CleanedOffset, m.stable())
	}
	m.cleanedTxns(t, c.CleanedOffset)
	m.cleaned = max(m.cleaned, c.CleanedOffset) // a crash may have lost how far it was
	for _, r := range m.all {
		if r.offset < m.cleaned && r.value == "" && m.seen[r.offset] == 0 {
			m.seen[r.offset] = m.now.UnixMilli()
		}
	}
	m.check(t)
	if err := m.log.Verify(); err != nil {
		t.Fatalf("Verify: %v", err)
	}
}

func (m *compactModel) restart(t *rapid.T) {
	if err := m.log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if lose := rapid.IntRange(-1, 1).Draw(t, "snapshots"); lose >= 0 {
		m.keepFiles(t, snapshotSuffix, lose)
	}
	if rapid.Bool().Draw(t, "loseTxnIndexes") {
		m.keepFiles(t, txnIndexSuffix, 0)
	}
	m.open(t)
	m.check(t)
}

// keepFiles removes the files of a kind but the n oldest: the next Open has to make
// do with the batches, and with what is old.
func (m *compactModel) keepFiles(t *rapid.T, kind string, n int) {
	names, err := m.fs.List(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, suffix, ok := parseFileName(name); !ok || suffix != kind {
			continue
		}
		if n--; n >= 0 {
			continue
		}
		if err := m.fs.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func (m *compactModel) crash(t *rapid.T) {
	if err := m.log.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	seed := rapid.Uint64().Draw(t, "seed")
	m.fs = m.fs.CrashClone(rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "percent"), rand.New(rand.NewPCG(seed, 0)))
	m.open(t)
	m.check(t)
}

// check reads the log and compares it with what it must hold.
func (m *compactModel) check(t *rapid.T) {
	m.checkTxns(t)
	got, err := readKeyedBy(m.log, &m.codecs)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	there := map[int64]bool{}
	for _, r := range got {
		if r.offset >= m.stable() && r.offset < int64(len(m.all)) {
			r.aborted = m.all[r.offset].aborted // no reader of committed records sees it yet
		}
		if r.offset >= int64(len(m.all)) || r != m.all[r.offset] {
			t.Fatalf("record %+v was never appended", r)
		}
		there[r.offset] = true
	}
	last := map[int]int64{}
	for _, r := range m.all {
		if !r.aborted && r.key >= 0 && r.offset < m.cleaned {
			last[r.key] = r.offset
		}
	}
	for _, r := range m.all {
		switch {
		case r.key < 0: // a marker
		case r.offset >= m.cleaned && !there[r.offset]:
			t.Fatalf("record %+v is gone, but the log is clean up to %d only", r, m.cleaned)
		case r.offset >= m.cleaned:
		case (r.aborted || last[r.key] != r.offset) && there[r.offset]:
			t.Fatalf("record %+v is still there, the log is clean up to %d, the last of its key is %d", r, m.cleaned, last[r.key])
		case r.aborted || last[r.key] != r.offset:
		case r.value != "" && !there[r.offset]:
			t.Fatalf("record %+v is gone, the last of its key", r)
		case r.value == "" && !there[r.offset] && m.now.UnixMilli()-m.seen[r.offset] <= tombstonesKept.Milliseconds():
			t.Fatalf("tombstone %+v is gone too early", r)
		}
	}
	for id, next := range m.sequences {
		if id == 9 {
			continue
		}
		if err := m.log.wants(id, next); err != nil {
			t.Fatal(err)
		}
	}
}

// wants checks that the log expects a sequence number of a producer.
func (l *Log) wants(id int64, next int32) error {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	meta := producer.NewMeta(id, 0, next, 1)
	if _, dup, err := l.state.Check(meta); err != nil || dup {
		return fmt.Errorf("producer %d with sequence %d: duplicate %v, %w", id, next, dup, err)
	}
	if next > 0 && l.state.LastBatches()[id] == 0 && l.state.Len() == 0 {
		return fmt.Errorf("producer %d is forgotten", id)
	}
	return nil
}

// readKeyed reads all records of a log, decompressed, but not the markers.
func readKeyed(l *Log) ([]keyed, error) {
	var c codecs
	defer c.close()
	return readKeyedBy(l, &c)
}

func readKeyedBy(l *Log, c *codecs) ([]keyed, error) {
	var got []keyed
	for at := l.StartOffset(); at < l.EndOffset(); {
		b, err := l.Read(ReadSpec{From: at, UpTo: l.EndOffset(), MaxBytes: 3000, WholeFirst: true}, nil)
		if err != nil {
			return got, err
		}
		next := at
		for left := b; len(left) > 0; {
			batch, rest, err := record.Next(left)
			if err != nil {
				return got, err
			}
			next, left = batch.NextOffset(), rest
		}
		txns, err := readAborted(l, at, next)
		if err != nil {
			return got, err
		}
		for len(b) > 0 {
			batch, rest, err := record.Next(b)
			if err != nil {
				return got, err
			}
			aborted := txns.aborted(batch)
			from := at // a cleaning meanwhile may have made one batch of what was read as many
			if batch.BaseOffset() > from || batch.NextOffset() <= from {
				return got, fmt.Errorf("batch at [%d, %d), want %d", batch.BaseOffset(), batch.NextOffset(), from)
			}
			at, b = batch.NextOffset(), rest
			if batch.Attributes().Control() {
				continue
			}
			payload, err := c.unpack(batch)
			if err != nil {
				return got, err
			}
			for r, err := range batch.RecordsIn(payload) {
				if err != nil {
					return got, err
				}
				if r.Offset < from {
					continue
				}
				k := keyed{offset: r.Offset, timestamp: r.Timestamp, value: string(r.Value), aborted: aborted}
				if _, err := fmt.Sscanf(string(r.Key), "key%d", &k.key); err != nil {
					return got, err
				}
				got = append(got, k)
			}
		}
	}
	return got, nil
}

// fataler is what testing.TB and rapid.T share.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

// packed compresses a batch.
func packed(t fataler, b record.Batch, codec record.Codec) record.Batch {
	t.Helper()
	var c codecs
	defer c.close()
	b = slices.Clone(b)
	b[22] |= byte(codec)
	var w record.Rewriter
	w.Reset(b)
	for r := range b.RecordsIn(b.Payload()) {
		w.Append(r)
	}
	out, err := w.Finish(c.packer(codec))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out)
}

func transactional(b record.Batch) record.Batch {
	b = slices.Clone(b)
	b[22] |= 0x10
	var w record.Rewriter
	w.Reset(b)
	for r := range b.Records() {
		w.Append(r)
	}
	out, _ := w.Finish(nil)
	return out
}
