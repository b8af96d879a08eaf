package commitlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"sort"
)

// A leader epoch is an era of a partition's leader. A new one begins when a log is
// opened that was not closed: records that somebody has read may be gone then, where
// riffle.flush=os left them to the operating system. A client that knows the epoch of
// what it read last can find out: its epoch ends before its position.
//
// The epochs and the offsets at which they begin lie in a file:
//
//	 0  magic     4 bytes "RfLe"
//	 4  version   uint16  1
//	 6  reserved  uint16  0
//	 8  count     uint32  entries that follow
//	12 each       entries: epoch int32, first offset int64, both ascending
//	 . checksum   uint32  CRC-32C of all before it
//
// A log that never crashed has none, and the epoch 0. The file is on disk before the
// first batch of a new epoch is written. If it is lost although the checkpoint names
// it, or damaged, it is made anew from the batches.
const (
	epochsName    = "leader-epochs"
	epochsTemp    = "leader-epochs.tmp"
	epochsMagic   = "RfLe"
	epochsVersion = 1
	epochsHeader  = 12
	epochEntryLen = 12
)

var errBadEpochs = errors.New("commitlog: leader epochs are damaged")

// epochStart is where a leader epoch begins.
type epochStart struct {
	epoch int32
	start int64
}

// epochs are ascending by epoch and by offset. They are replaced, never changed. nil
// stands for epochs that are not known: any fits.
type epochs []epochStart

// firstEpoch is what a log begins with.
var firstEpoch = epochs{{0, 0}}

func (e epochs) current() int32 { return e[len(e)-1].epoch }

// at returns the epoch of a record.
func (e epochs) at(offset int64) int32 {
	if last := e[len(e)-1]; offset >= last.start {
		return last.epoch
	}
	i := sort.Search(len(e), func(i int) bool { return e[i].start > offset })
	return e[max(0, i-1)].epoch
}

// fits reports whether a batch at an offset can have that epoch.
func (e epochs) fits(epoch int32, offset int64) bool {
	if e == nil {
		return epoch >= 0
	}
	return epoch == e.at(offset)
}

// end returns the last epoch that is not above the one asked for, and the offset at
// which it ends, as KIP-101 has it; false if the epoch has not come yet. logEnd is
// where the present one ends.
func (e epochs) end(epoch int32, logEnd int64) (last int32, end int64, known bool) {
	switch {
	case epoch < 0 || epoch > e.current():
		return -1, -1, false
	case epoch == e.current():
		return epoch, logEnd, true
	}
	i := sort.Search(len(e), func(i int) bool { return e[i].epoch > epoch })
	if i == 0 {
		return epoch, e[0].start, true
	}
	return e[i-1].epoch, e[i].start, true
}

// begin returns the epochs with a new one that begins at an offset. Those of which no
// record is left go.
func (e epochs) begin(offset int64) epochs {
	n := len(e)
	for n > 0 && e[n-1].start >= offset {
		n--
	}
	return append(slices.Clone(e[:n]), epochStart{e.current() + 1, offset})
}

// from returns the epochs without those that end at or before an offset.
func (e epochs) from(offset int64) epochs {
	for len(e) > 1 && e[1].start <= offset {
		e = e[1:]
	}
	return e
}

func (e epochs) encode() []byte {
	b := append([]byte(nil), epochsMagic...)
	b = be.AppendUint32(b, epochsVersion<<16)
	b = be.AppendUint32(b, uint32(len(e)))
	for _, entry := range e {
		b = be.AppendUint32(b, uint32(entry.epoch))
		b = be.AppendUint64(b, uint64(entry.start))
	}
	return be.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func parseEpochs(b []byte) (epochs, error) {
	n := len(b) - epochsHeader - 4
	if n < epochEntryLen || n%epochEntryLen != 0 || string(b[:4]) != epochsMagic || be.Uint16(b[4:]) != epochsVersion ||
		int64(be.Uint32(b[8:])) != int64(n/epochEntryLen) || be.Uint32(b[len(b)-4:]) != crc32.Checksum(b[:len(b)-4], castagnoli) {
		return nil, errBadEpochs
	}
	e := make(epochs, 0, n/epochEntryLen)
	for at := epochsHeader; at < len(b)-4; at += epochEntryLen {
		entry := epochStart{int32(be.Uint32(b[at:])), int64(be.Uint64(b[at+4:]))}
		if entry.epoch < 0 || entry.start < 0 || len(e) > 0 && (entry.epoch <= e.current() || entry.start <= e[len(e)-1].start) {
			return nil, errBadEpochs
		}
		e = append(e, entry)
	}
	return e, nil
}

// LeaderEpoch is the present leader epoch: that of the next batch.
func (l *Log) LeaderEpoch() int32 { return l.epochs().current() }

// LeaderEpochAt is the leader epoch of the record at an offset.
func (l *Log) LeaderEpochAt(offset int64) int32 { return l.epochs().at(offset) }

// LeaderEpochEnd returns the largest leader epoch that is not above the one asked for,
// and the offset at which it ends; that of the present one is logEnd. It returns false
// for an epoch that has not come yet.
func (l *Log) LeaderEpochEnd(epoch int32, logEnd int64) (last int32, end int64, known bool) {
	return l.epochs().end(epoch, logEnd)
}

func (l *Log) epochs() epochs {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.epochs
}

// saveEpochs puts the epochs on disk, before the first batch of a new one. It must be
// called under appendMu.
func (l *Log) saveEpochs() error {
	if l.epochsSaved {
		return nil
	}
	l.mu.RLock()
	e := l.mu.epochs.from(l.mu.start)
	l.mu.RUnlock()
	if err := writeAt(l.fsys, epochsTemp, e.encode(), 0, true); err != nil {
		return l.writeFailed("write "+epochsTemp, err)
	}
	if err := l.fsys.Rename(epochsTemp, epochsName); err != nil {
		return l.writeFailed("rename "+epochsTemp, err)
	}
	if err := l.fsys.SyncDir("."); err != nil {
		return l.fence("sync directory", err)
	}
	l.mu.Lock()
	l.mu.epochs, l.mu.epochsOnDisk = e, true
	l.mu.Unlock()
	// Batches of an epoch that nobody knows would look like a torn tail: the checkpoint
	// says that there is a file.
	if err := l.saveCheckpoint(false); err != nil {
		return err
	}
	l.epochsSaved = true
	return nil
}

// loadEpochs reads the epochs, or makes them anew.
func (r *recovery) loadEpochs() error {
	b, err := readAll(r.fsys, epochsName)
	var e epochs
	if err == nil {
		e, err = parseEpochs(b)
	}
	switch {
	case err == nil:
		r.mu.epochs, r.mu.epochsOnDisk, r.epochsSaved = e, true, true
		return nil
	case isMissing(err) && !r.saved.epochs && !r.mu.recovery.CheckpointLost:
		r.mu.epochs, r.epochsSaved = firstEpoch, true
		return nil
	case !isMissing(err) && !errors.Is(err, errBadEpochs):
		return fmt.Errorf("commitlog: read %s: %w", epochsName, err)
	}
	r.logger.Warn("leader epochs are made anew from the batches", "err", err)
	r.epochsLost = true
	r.mu.epochs, err = r.findEpochs()
	return err
}

// findEpochs collects the epochs from the batches.
func (r *recovery) findEpochs() (epochs, error) {
	var e epochs
	for _, base := range r.bases {
		if err := r.findEpochsIn(base, &e); err != nil {
			return nil, err
		}
	}
	if e == nil {
		return firstEpoch, nil
	}
	return e, nil
}

// findEpochsIn stops at damage: what is behind it shows in the next segment.
func (r *recovery) findEpochsIn(base int64, e *epochs) (err error) {
	s := newSegment(r.fsys, base)
	f, err := s.acquire()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.release(), s.retire()) }()
	size, err := f.Size()
	if err != nil {
		return fmt.Errorf("commitlog: size of %s: %w", s.name(), err)
	}
	scan := newScanner(f, cursor{offset: base}, size, nil)
	for {
		b, err := scan.next()
		switch {
		case errors.Is(err, io.EOF), isBad(err):
			return nil
		case err != nil:
			return err
		case len(*e) == 0 || b.LeaderEpoch() > e.current():
			*e = append(*e, epochStart{b.LeaderEpoch(), b.BaseOffset()})
		}
	}
}

// beginEpoch begins a leader epoch behind what an unclean stop left.
func (r *recovery) beginEpoch() {
	if r.mu.recovery.Quarantined || r.mu.recovery.Clean && !r.epochsLost {
		return
	}
	r.mu.epochs, r.epochsSaved = r.mu.epochs.begin(r.mu.end), false
}
