package commitlog

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
)

// txnIndexSuffix is the file of a sealed segment with the aborted transactions whose
// markers lie in it, all integers big-endian (docs/format/log.md):
//
//	 0  magic    4 bytes "RfTx"
//	 4  version  uint16  1
//	 6  count    uint32
//	10  base     int64   offset of the segment
//	18  next     int64   offset after it
//	26  stable   int64   last stable offset when it was sealed
//	    each, ascending by last:
//	      id, first, last  int64
//	    checksum  uint32  CRC-32C of all before it
//
// The active segment has none: what it would say is in the snapshot of the producers.
const (
	txnIndexSuffix    = ".txnindex"
	txnIndexMagic     = "RfTx"
	txnIndexVersion   = 1
	txnIndexHeaderLen = 34
	txnEntryLen       = 24
)

// txnIndex is the contents of that file.
type txnIndex struct {
	stable  int64
	aborted []producer.Aborted // ascending by Last; does not change
}

func (x txnIndex) encode(base, next int64) []byte {
	b := make([]byte, 0, txnIndexHeaderLen+len(x.aborted)*txnEntryLen+4)
	b = append(b, txnIndexMagic...)
	b = be.AppendUint16(b, txnIndexVersion)
	b = be.AppendUint32(b, uint32(len(x.aborted)))
	b = be.AppendUint64(b, uint64(base))
	b = be.AppendUint64(b, uint64(next))
	b = be.AppendUint64(b, uint64(x.stable))
	for _, a := range x.aborted {
		b = be.AppendUint64(b, uint64(a.ID))
		b = be.AppendUint64(b, uint64(a.First))
		b = be.AppendUint64(b, uint64(a.Last))
	}
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// parseTxnIndex reads the index of the segment [base, next). It returns errBadIndex
// if the bytes are not that.
func parseTxnIndex(b []byte, base, next int64) (txnIndex, error) {
	if len(b) < txnIndexHeaderLen+4 {
		return txnIndex{}, errBadIndex
	}
	body, sum := b[:len(b)-4], be.Uint32(b[len(b)-4:])
	count := int64(be.Uint32(b[6:]))
	if string(b[:4]) != txnIndexMagic || be.Uint16(b[4:]) != txnIndexVersion || crc32.Checksum(body, castagnoli) != sum ||
		int64(be.Uint64(b[10:])) != base || int64(be.Uint64(b[18:])) != next ||
		count*txnEntryLen != int64(len(body)-txnIndexHeaderLen) {
		return txnIndex{}, errBadIndex
	}
	x := txnIndex{stable: int64(be.Uint64(b[26:]))}
	for e := body[txnIndexHeaderLen:]; len(e) > 0; e = e[txnEntryLen:] {
		a := producer.Aborted{ID: int64(be.Uint64(e)), First: int64(be.Uint64(e[8:])), Last: int64(be.Uint64(e[16:]))}
		if n := len(x.aborted); a.First < 0 || a.Last < a.First || n > 0 && a.Last <= x.aborted[n-1].Last {
			return txnIndex{}, errBadIndex
		}
		x.aborted = append(x.aborted, a)
	}
	return x, nil
}

// AppendMarker writes the marker that ends a producer's transaction, as Append writes
// records. A marker that the log holds already (see producer.State.CheckMarker) is not
// written again.
func (l *Log) AppendMarker(m producer.Marker, now time.Time) (Appended, error) {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	if err := l.writable(); err != nil {
		return Appended{}, err
	}
	written, err := l.state.CheckMarker(m)
	switch {
	case err != nil:
		return Appended{}, err
	case written:
		end := l.EndOffset()
		return Appended{BaseOffset: end, NextOffset: end, LogAppendTime: -1, Duplicate: true}, nil
	}
	return l.append(record.ControlBatch(record.Marker{
		ProducerID: m.ID, Epoch: m.Epoch, Commit: m.Commit, CoordinatorEpoch: m.CoordinatorEpoch,
	}, millis(now)), now)
}

// observe notes a batch that the log holds in the state of the producers.
func observe(s *producer.State, b record.Batch, timestampMillis int64) {
	if !b.Attributes().Control() {
		s.Append(metaOf(b), b.BaseOffset(), timestampMillis)
		return
	}
	m, err := b.Marker()
	if err != nil {
		return // it ends no transaction
	}
	s.AppendMarker(producer.Marker{ID: m.ProducerID, Epoch: m.Epoch, CoordinatorEpoch: m.CoordinatorEpoch, Commit: m.Commit},
		b.BaseOffset(), timestampMillis)
}

// publishTxnsLocked makes the transactions visible to readers, in one step with the
// records that they follow from.
func (l *Log) publishTxnsLocked() {
	l.mu.firstOpen, l.mu.aborted = l.state.FirstOpen(), l.state.Aborted()
}

// LastStableOffset is the offset before which all transactions are decided: that of
// the first record of the open ones, or the log end offset.
func (l *Log) LastStableOffset() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return max(l.mu.start, min(l.mu.firstOpen, l.mu.end))
}

// Producers describes the producers that the log remembers, by ascending id.
func (l *Log) Producers() []producer.Info {
	l.appendMu.Lock()
	defer l.appendMu.Unlock()
	return l.state.Producers()
}

// Aborted returns the aborted transactions with records in [from, upTo), sorted by
// their first offsets, as readers want them who read only what was committed. upTo
// must not be above the last stable offset.
func (l *Log) Aborted(from, upTo int64) ([]producer.Aborted, error) {
	l.mu.RLock()
	if l.mu.closed {
		l.mu.RUnlock()
		return nil, ErrClosed
	}
	segments := l.mu.segments[l.segmentLocked(from):]
	active := txnIndex{stable: math.MaxInt64, aborted: l.mu.aborted}
	l.mu.RUnlock()

	found := []producer.Aborted{}
	for i, s := range segments {
		x := active
		if i < len(segments)-1 {
			var err error
			if x, err = l.loadTxnIndex(s); err != nil {
				return nil, err
			}
		}
		first, _ := slices.BinarySearchFunc(x.aborted, from, func(a producer.Aborted, from int64) int { return cmp.Compare(a.Last, from) })
		for _, a := range x.aborted[first:] {
			if a.First < upTo {
				found = append(found, a)
			}
		}
		if x.stable >= upTo {
			break // what ended later began later
		}
	}
	slices.SortFunc(found, func(a, b producer.Aborted) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	return found, nil
}

// ReadCommitted reads as Read does, for readers of committed records, and returns the
// aborted transactions of what it read, as Aborted does. spec.UpTo must not be above
// the last stable offset. Both are of the same segments: records that were read before
// a cleaning, with what is left of the aborted transactions after it, would pass for
// committed.
func (l *Log) ReadCommitted(spec ReadSpec, buf []byte) ([]byte, []producer.Aborted, error) {
	for {
		swaps := l.swaps.Load()
		b, err := l.Read(spec, buf)
		if err != nil || len(b) == 0 {
			return b, nil, err
		}
		next := spec.From
		for left := b; len(left) > 0; {
			batch, rest, err := record.Next(left)
			if err != nil {
				return b[:0], nil, err
			}
			next, left = batch.NextOffset(), rest
		}
		aborted, err := l.Aborted(spec.From, next)
		if err != nil {
			return b[:0], nil, err
		}
		if l.swaps.Load() == swaps {
			return b, aborted, nil
		}
	}
}

// loadTxnIndex returns the index of a sealed segment. On any doubt about the file it
// is made anew from the log.
func (l *Log) loadTxnIndex(s *segment) (txnIndex, error) {
	if x, ok := s.txnIndex(); ok {
		return x, nil
	}
	l.txnMu.Lock()
	defer l.txnMu.Unlock()
	x, ok := s.txnIndex()
	if ok {
		return x, nil
	}
	b, err := readAll(l.fsys, fileName(s.base, txnIndexSuffix))
	if err == nil {
		x, err = parseTxnIndex(b, s.base, s.next)
	}
	if err == nil {
		s.setTxnIndex(x)
		return x, nil
	}
	l.logger.Warn("transaction indexes are rebuilt", "segment", s.name(), "err", err)
	if err := l.rebuildTxnIndexes(s); err != nil {
		return txnIndex{}, fmt.Errorf("commitlog: rebuild the transaction index of %s: %w", s.name(), err)
	}
	x, _ = s.txnIndex()
	return x, nil
}

// rebuildTxnIndexes walks the log up to and including a sealed segment: a transaction
// may have begun long before its marker.
func (l *Log) rebuildTxnIndexes(last *segment) error {
	l.mu.RLock()
	segments := l.mu.segments
	l.mu.RUnlock()
	var state producer.State
	for _, s := range segments {
		if s.base > last.base {
			break
		}
		if err := l.rebuildTxnIndex(s, &state); err != nil {
			return err
		}
	}
	if _, ok := last.txnIndex(); !ok { // retention has deleted it meanwhile
		last.setTxnIndex(txnIndex{stable: last.next})
	}
	return nil
}

func (l *Log) rebuildTxnIndex(s *segment, state *producer.State) error {
	f, err := s.acquire()
	if err != nil {
		return err
	}
	if !s.missing {
		w := walker{name: s.name(), file: f, epochs: l.epochs(), visit: func(b record.Batch, _ int64) { observe(state, b, 0) }}
		_, _, err = w.run(cursor{offset: s.base}, cursor{position: s.size, offset: s.next}, s.size)
	}
	if err := errors.Join(err, s.release()); err != nil {
		return err
	}
	x := txnIndex{stable: min(state.FirstOpen(), s.next), aborted: state.Aborted()}
	state.Cut()
	if _, ok := s.txnIndex(); ok {
		return nil
	}
	s.setTxnIndex(x)
	l.rebuilt.Add(1)
	if err := l.writeTxnIndex(s, x); err != nil {
		l.logger.Warn("transaction index is not written", "segment", s.name(), "err", err)
	}
	return nil
}

func (l *Log) writeTxnIndex(s *segment, x txnIndex) error {
	return writeAt(l.fsys, fileName(s.base, txnIndexSuffix), x.encode(s.base, s.next), 0, true)
}

// sealTxnIndex writes the index of the active segment, which is about to be sealed.
func (l *Log) sealTxnIndex(s *segment) error {
	x := txnIndex{stable: min(l.state.FirstOpen(), s.next), aborted: l.state.Aborted()}
	if err := l.writeTxnIndex(s, x); err != nil {
		return l.writeFailed("write "+fileName(s.base, txnIndexSuffix), err)
	}
	s.setTxnIndex(x)
	return nil
}

func (s *segment) txnIndex() (txnIndex, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.txns == nil {
		return txnIndex{}, false
	}
	return *s.mu.txns, true
}

func (s *segment) setTxnIndex(x txnIndex) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.txns = &x
}
