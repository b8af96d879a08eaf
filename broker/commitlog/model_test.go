package commitlog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// TestModel compares a log with a slice, over any sequence of operations, restarts
// and crashes.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: vfs.NewMem(), cfg: drawConfig(t), now: epoch}
		m.open(t)
		t.Repeat(map[string]func(*rapid.T){
			"append":  m.append,
			"flush":   m.flush,
			"retain":  m.retain,
			"read":    m.read,
			"time":    m.time,
			"restart": m.restart,
			"crash":   m.crash,
			"":        m.check,
		})
		if err := m.log.Verify(); err != nil {
			t.Fatalf("Verify: %v", err)
		}
		if err := m.log.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	})
}

func drawConfig(t *rapid.T) Config {
	return Config{
		SegmentBytes:       rapid.Int64Range(1, 2000).Draw(t, "segmentBytes"),
		SegmentAge:         time.Duration(rapid.Int64Range(1, 3600).Draw(t, "segmentAge")) * time.Second,
		IndexIntervalBytes: rapid.IntRange(1, 500).Draw(t, "indexInterval"),
		MarkBytes:          rapid.Int64Range(1, 2000).Draw(t, "markBytes"),
		RetentionBytes:     rapid.Int64Range(0, 3000).Draw(t, "retentionBytes"),
		RetentionAge:       time.Duration(rapid.Int64Range(0, 7200).Draw(t, "retentionAge")) * time.Second,
	}
}

type modelRecord struct {
	value     string
	timestamp int64
	next      int64 // offset behind its batch
}

type model struct {
	fs      *vfs.Mem
	cfg     Config
	log     *Log
	now     time.Time
	records []modelRecord // by offset
	start   int64
	flushed int64
	count   int
}

func (m *model) open(t *rapid.T) {
	l, err := Open(m.fs, m.cfg, m.now)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if r := l.Recovery(); len(r.Corrupt) > 0 || r.Quarantined {
		t.Fatalf("Recovery = %+v", r)
	}
	m.log = l
}

func (m *model) end() int64 { return int64(len(m.records)) }

func (m *model) append(t *rapid.T) {
	m.now = m.now.Add(time.Duration(rapid.IntRange(0, 600).Draw(t, "seconds")) * time.Second)
	ts := m.now.UnixMilli() - rapid.Int64Range(0, 100_000).Draw(t, "late")
	n := rapid.IntRange(1, 5).Draw(t, "records")
	var vs []string
	next := m.end() + int64(n)
	for i := range n {
		m.count++
		v := fmt.Sprintf("%d%s", m.count, strings.Repeat("x", rapid.IntRange(0, 100).Draw(t, "padding")))
		vs = append(vs, v)
		m.records = append(m.records, modelRecord{value: v, timestamp: ts + int64(i), next: next})
	}
	a, err := m.log.Append(batchOf(ts, vs...), m.now)
	if err != nil || a.NextOffset != next || a.BaseOffset != next-int64(n) {
		t.Fatalf("Append = %+v, %v, want [%d, %d)", a, err, next-int64(n), next)
	}
}

func (m *model) flush(t *rapid.T) {
	if err := m.log.Flush(); err != nil {
		t.Fatalf("Flush: %v", err)
	}
	m.flushed = m.end()
}

func (m *model) retain(t *rapid.T) {
	size, segments := m.log.Size(), m.log.Segments()
	deleted, err := m.log.Retain(m.now)
	if err != nil {
		t.Fatalf("Retain: %v", err)
	}
	start := m.log.StartOffset()
	if start < m.start || start > m.end() || (deleted > 0) != (start > m.start) && segments > 1 {
		t.Fatalf("Retain deleted %d segments, start %d to %d", deleted, m.start, start)
	}
	if m.cfg.RetentionAge > 0 {
		for o := m.start; o < start; o++ {
			if m.cfg.RetentionBytes == 0 && m.now.UnixMilli()-m.records[o].timestamp <= m.cfg.RetentionAge.Milliseconds() {
				t.Fatalf("record %d is deleted, but not too old", o)
			}
		}
	}
	if m.cfg.RetentionAge == 0 && deleted > 0 && (m.log.Size() < m.cfg.RetentionBytes || m.cfg.RetentionBytes == 0) {
		t.Fatalf("of %d bytes only %d are kept, want %d", size, m.log.Size(), m.cfg.RetentionBytes)
	}
	m.start = start
}

func (m *model) read(t *rapid.T) {
	from := rapid.Int64Range(0, m.end()+1).Draw(t, "from")
	upTo := rapid.Int64Range(from, m.end()+1).Draw(t, "upTo")
	spec := ReadSpec{From: from, UpTo: upTo, MaxBytes: rapid.IntRange(0, 1000).Draw(t, "max"), WholeFirst: rapid.Bool().Draw(t, "whole")}
	buf := make([]byte, 0, rapid.IntRange(0, 500).Draw(t, "buffer"))
	b, err := m.log.Read(spec, buf)
	if from < m.start || from > m.end() {
		if !errors.Is(err, ErrOffsetOutOfRange) {
			t.Fatalf("Read(%+v) = %v, want ErrOffsetOutOfRange", spec, err)
		}
		return
	}
	if errors.Is(err, ErrExceedsMaxBytes) && !spec.WholeFirst {
		return
	}
	if err != nil {
		t.Fatalf("Read(%+v): %v", spec, err)
	}
	visible := from < m.end() && m.records[from].next <= upTo
	if (len(b) > 0) != visible {
		t.Fatalf("Read(%+v) = %d bytes, want some: %v", spec, len(b), visible)
	}
	m.compare(t, spec, b)
}

// compare checks that b is whole batches, the first with spec.From, none past UpTo.
func (m *model) compare(t *rapid.T, spec ReadSpec, b []byte) {
	first := true
	for at := int64(-1); len(b) > 0; first = false {
		batch, err := checkBatchAnywhere(b)
		if err != nil {
			t.Fatalf("Read(%+v): %v", spec, err)
		}
		if first {
			if at = batch.BaseOffset(); at > spec.From || batch.NextOffset() <= spec.From {
				t.Fatalf("Read(%+v) begins with [%d, %d)", spec, at, batch.NextOffset())
			}
		}
		for r := range batch.Records() {
			if want := m.records[at]; r.Offset != at || string(r.Value) != want.value || r.Timestamp != want.timestamp || want.next != batch.NextOffset() {
				t.Fatalf("Read(%+v): record %+v, want %+v at %d", spec, r, want, at)
			}
			at++
		}
		if at > spec.UpTo {
			t.Fatalf("Read(%+v) goes up to %d", spec, at)
		}
		b = b[len(batch):]
		if !first && len(b) > 0 && spec.MaxBytes < len(b) {
			t.Fatalf("Read(%+v) returned %d bytes too many", spec, len(b)-spec.MaxBytes)
		}
	}
}

func (m *model) time(t *rapid.T) {
	ms := m.now.UnixMilli() - rapid.Int64Range(-1000, 2_000_000).Draw(t, "ago")
	want := slices.IndexFunc(m.records[m.start:], func(r modelRecord) bool { return r.timestamp >= ms })
	offset, ts, found, err := m.log.OffsetForTime(ms)
	if err != nil || found != (want >= 0) {
		t.Fatalf("OffsetForTime(%d) = %d, %v, %v, want %d", ms, offset, found, err, want)
	}
	if found && (offset != m.start+int64(want) || ts != m.records[offset].timestamp) {
		t.Fatalf("OffsetForTime(%d) = %d at %d, want %d", ms, offset, ts, m.start+int64(want))
	}
	offset, ts, found, err = m.log.MaxTimestamp()
	if err != nil || found != (m.start < m.end()) {
		t.Fatalf("MaxTimestamp = %d, %v, %v", offset, found, err)
	}
	for _, r := range m.records[m.start:] {
		if r.timestamp > ts {
			t.Fatalf("MaxTimestamp = %d, but there is %d", ts, r.timestamp)
		}
	}
	if found && m.records[offset].timestamp != ts {
		t.Fatalf("MaxTimestamp = %d at %d, which has %d", ts, offset, m.records[offset].timestamp)
	}
}

func (m *model) restart(t *rapid.T) {
	if err := m.log.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	m.flushed = m.end()
	m.open(t)
	if r := m.log.Recovery(); !r.Clean || r.WalkedBytes > 0 || r.RebuiltIndexes > 0 {
		t.Fatalf("Recovery after Close = %+v, want clean", r)
	}
}

func (m *model) crash(t *rapid.T) {
	percent := rapid.SampledFrom([]int{0, 50, 100}).Draw(t, "percent")
	seed := rapid.Uint64().Draw(t, "seed")
	m.fs = m.fs.CrashClone(percent, rand.New(rand.NewPCG(seed, 0)))
	m.open(t)
	end := m.log.EndOffset()
	if end < m.flushed || end > m.end() || percent == 100 && end != m.end() {
		t.Fatalf("after a crash the log ends at %d, want [%d, %d]", end, m.flushed, m.end())
	}
	m.records = m.records[:end]
	m.flushed = end
}

func (m *model) check(t *rapid.T) {
	l := m.log
	if l.StartOffset() != m.start || l.EndOffset() != m.end() || l.FlushedOffset() < m.flushed || l.FlushedOffset() > m.end() {
		t.Fatalf("log holds [%d, %d), flushed %d, want [%d, %d), flushed %d",
			l.StartOffset(), l.EndOffset(), l.FlushedOffset(), m.start, m.end(), m.flushed)
	}
	m.flushed = l.FlushedOffset() // a roll flushes, too
}
