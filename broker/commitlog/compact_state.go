package commitlog

import (
	"errors"
	"fmt"
	"hash/crc32"
)

// The progress of compaction lies in a small file. It may be late or lost, which
// costs one more look at what is clean already:
//
//	 0  magic     4 bytes "RfCo"
//	 4  version   uint16  1
//	 6  reserved  uint16  0
//	 8  cleaned   int64   the log was cleaned below this offset
//	16  horizon   int64   when the first tombstone or marker that stayed may go, ms, or 0
//	24  old       int64   records below it have been there for min.compaction.lag.ms
//	32  aged      int64   records below it
//	40  agedAt    int64   were there at this time, ms, or 0
//	48  reserved  uint32  0
//	52  checksum  uint32  CRC-32C of the 52 bytes before
const (
	compactionName    = "compaction"
	compactionTemp    = "compaction.tmp"
	compactionMagic   = "RfCo"
	compactionVersion = 1
	compactionLen     = 56
)

var errBadCompaction = errors.New("commitlog: progress of compaction is damaged")

func (c compaction) append(b []byte) []byte {
	start := len(b)
	b = append(b, compactionMagic...)
	b = be.AppendUint32(b, compactionVersion<<16)
	for _, v := range [...]int64{c.cleaned, c.horizon, c.old, c.aged, c.agedAt} {
		b = be.AppendUint64(b, uint64(v))
	}
	b = be.AppendUint32(b, 0)
	return be.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseCompaction(b []byte) (compaction, error) {
	if len(b) != compactionLen || string(b[:4]) != compactionMagic ||
		be.Uint16(b[4:]) != compactionVersion || be.Uint32(b[52:]) != crc32.Checksum(b[:52], castagnoli) {
		return compaction{}, errBadCompaction
	}
	i64 := func(at int) int64 { return int64(be.Uint64(b[at:])) }
	c := compaction{cleaned: i64(8), horizon: i64(16), old: i64(24), aged: i64(32), agedAt: i64(40)}
	if c.cleaned < 0 || c.horizon < 0 || c.old < 0 || c.aged < 0 || c.agedAt < 0 {
		return compaction{}, errBadCompaction
	}
	return c, nil
}

// loadCompaction returns the progress, nothing if there is none or it is damaged. It
// must be called under compactMu.
func (l *Log) loadCompaction() compaction {
	if l.compaction != nil {
		return *l.compaction
	}
	b, err := readAll(l.fsys, compactionName)
	var c compaction
	if err == nil {
		c, err = parseCompaction(b)
	}
	if err == nil && (c.cleaned > l.EndOffset() || max(c.old, c.aged) > l.EndOffset()) {
		err = fmt.Errorf("%w: it is ahead of the log", errBadCompaction)
	}
	if err != nil {
		if !isMissing(err) {
			l.logger.Warn("progress of compaction is lost, the log is cleaned from its start", "err", err)
		}
		c = compaction{}
	}
	l.compaction = &c
	return c
}

// saveCompaction must be called under compactMu.
func (l *Log) saveCompaction(c compaction) error {
	err := writeAt(l.fsys, compactionTemp, c.append(nil), 0, true)
	if err == nil {
		err = l.fsys.Rename(compactionTemp, compactionName)
	}
	if err != nil {
		return fmt.Errorf("commitlog: write %s: %w", compactionName, err)
	}
	l.compaction = &c
	return nil
}
