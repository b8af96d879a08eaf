package commitlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// checkpoint is what is known to be on disk. It lies in a file of two slots, which
// are written in turn, so that a torn write leaves the other one. A slot fits into
// one disk sector.
//
// After each fsync of the log's own files a slot is written, but not fsynced itself: one that is
// lost or late only makes the walk after a crash longer. Where the checkpoint must
// not be late (when the log rolls, deletes, opens, or closes), both slots are written
// and fsynced.
//
//	  0  magic             4 bytes "RfCp"
//	  4  version           uint16  1
//	  6  flags             uint16  bit 0: closed cleanly; bit 1: there is a file of leader epochs
//	  8  sequence          uint64  the valid slot with the larger one counts
//	 16  startOffset       int64   log start offset
//	 24  segment           int64   base offset of the active segment
//	 32  position          int64   bytes of it that are fsynced
//	 40  flushedOffset     int64   the same as an offset
//	 48  firstAppend       int64   wall-clock time of its first append, ms, or -1
//	 56  firstTimestamp    int64   largest timestamp of its first batch, ms, or -1
//	 64  markPosition      int64   bytes of it that the index files describe
//	 72  markOffset        int64   the same as an offset; <markOffset>.snapshot belongs to it
//	 80  maxTimestamp      int64   of the records below the mark, or -1
//	 88  maxTimestampBase  int64   base offset of the first batch that has it
//	 96  offset entries    uint32  in the .index file
//	100  their CRC-32C     uint32
//	104  time entries      uint32  in the .timeindex file
//	108  their CRC-32C     uint32
//	112  checksum          uint32  CRC-32C of the 112 bytes before
type checkpoint struct {
	sequence       uint64
	clean          bool
	epochs         bool
	start          int64
	segment        int64
	position       int64
	flushed        int64
	firstAppend    int64
	firstTimestamp int64
	mark           mark
}

// mark is a place in the active segment up to which its indexes are written.
type mark struct {
	position         int64
	offset           int64
	maxTimestamp     int64
	maxTimestampBase int64
	prefix           prefix
}

const (
	checkpointName    = "checkpoint"
	checkpointTemp    = "checkpoint.tmp"
	checkpointMagic   = "RfCp"
	checkpointVersion = 1
	slotLen           = 116
	slotDistance      = 4096 // a large disk sector tears one slot only
	checkpointSize    = 2 * slotDistance

	flagClean  = 1
	flagEpochs = 2
)

var (
	errBadCheckpoint = errors.New("commitlog: checkpoint is damaged")

	// ErrVersion means that a later release wrote the log.
	ErrVersion = errors.New("commitlog: format is newer than this release, upgrade riffle")
)

func (c checkpoint) appendSlot(b []byte) []byte {
	start := len(b)
	var flags uint16
	if c.clean {
		flags |= flagClean
	}
	if c.epochs {
		flags |= flagEpochs
	}
	b = append(b, checkpointMagic...)
	b = be.AppendUint16(b, checkpointVersion)
	b = be.AppendUint16(b, flags)
	b = be.AppendUint64(b, c.sequence)
	for _, v := range [...]int64{
		c.start, c.segment, c.position, c.flushed, c.firstAppend, c.firstTimestamp,
		c.mark.position, c.mark.offset, c.mark.maxTimestamp, c.mark.maxTimestampBase,
	} {
		b = be.AppendUint64(b, uint64(v))
	}
	p := c.mark.prefix
	for _, v := range [...]uint32{p.offsets, p.offsetsCRC, p.times, p.timesCRC} {
		b = be.AppendUint32(b, v)
	}
	return be.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func parseSlot(b []byte) (checkpoint, error) {
	if len(b) < slotLen {
		return checkpoint{}, fmt.Errorf("%w: too short", errBadCheckpoint)
	}
	if string(b[:4]) != checkpointMagic || be.Uint32(b[112:]) != crc32.Checksum(b[:112], castagnoli) {
		return checkpoint{}, fmt.Errorf("%w: checksum differs", errBadCheckpoint)
	}
	if v := be.Uint16(b[4:]); v != checkpointVersion {
		return checkpoint{}, fmt.Errorf("%w: version %d", ErrVersion, v)
	}
	i64 := func(at int) int64 { return int64(be.Uint64(b[at:])) }
	c := checkpoint{
		clean: be.Uint16(b[6:])&flagClean != 0, epochs: be.Uint16(b[6:])&flagEpochs != 0, sequence: be.Uint64(b[8:]),
		start: i64(16), segment: i64(24), position: i64(32), flushed: i64(40),
		firstAppend: i64(48), firstTimestamp: i64(56),
		mark: mark{
			position: i64(64), offset: i64(72), maxTimestamp: i64(80), maxTimestampBase: i64(88),
			prefix: prefix{
				offsets: be.Uint32(b[96:]), offsetsCRC: be.Uint32(b[100:]),
				times: be.Uint32(b[104:]), timesCRC: be.Uint32(b[108:]),
			},
		},
	}
	if c.start < 0 || c.start > c.flushed || c.segment < 0 || c.segment > c.flushed ||
		c.position < 0 || c.mark.position < 0 || c.mark.position > c.position ||
		c.mark.offset < c.segment || c.mark.offset > c.flushed {
		return checkpoint{}, fmt.Errorf("%w: it makes no sense", errBadCheckpoint)
	}
	return c, nil
}

// parseCheckpoint returns the newer valid slot.
func parseCheckpoint(b []byte) (checkpoint, error) {
	var newest checkpoint
	var errs [2]error
	for i := range errs {
		var c checkpoint
		c, errs[i] = parseSlot(b[min(len(b), i*slotDistance):])
		switch {
		case errors.Is(errs[i], ErrVersion):
			return checkpoint{}, errs[i]
		case errs[i] == nil && c.sequence >= newest.sequence:
			newest = c
		}
	}
	if errs[0] != nil && errs[1] != nil {
		return checkpoint{}, errs[0]
	}
	return newest, nil
}

// checkpointFile is the open file. Its methods must not be called concurrently.
type checkpointFile struct {
	file     vfs.File
	sequence uint64
	buf      []byte
}

// openCheckpoint opens the file and reads it. The error matches fs.ErrNotExist if
// there is none, and errBadCheckpoint if it says nothing; then the returned file can
// be written all the same.
func openCheckpoint(fsys vfs.FS) (*checkpointFile, checkpoint, error) {
	f, err := fsys.Open(checkpointName)
	if err != nil {
		return nil, checkpoint{}, err
	}
	b := make([]byte, checkpointSize)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, checkpoint{}, errors.Join(fmt.Errorf("commitlog: read %s: %w", checkpointName, err), f.Close())
	}
	c, err := parseCheckpoint(b[:n])
	if errors.Is(err, ErrVersion) {
		return nil, checkpoint{}, errors.Join(err, f.Close())
	}
	return &checkpointFile{file: f, sequence: c.sequence}, c, err
}

// createCheckpoint puts a new file in place, whole and durable.
func createCheckpoint(fsys vfs.FS, c checkpoint) (_ *checkpointFile, err error) {
	f, err := fsys.Create(checkpointTemp)
	if err != nil {
		return nil, err
	}
	cf := &checkpointFile{file: f}
	for _, step := range []func() error{
		func() error { return f.Truncate(checkpointSize) },
		func() error { return cf.writeDurable(c) },
		func() error { return fsys.Rename(checkpointTemp, checkpointName) },
		func() error { return fsys.SyncDir(".") },
	} {
		if err := step(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return cf, nil
}

// write puts c into the older slot.
func (cf *checkpointFile) write(c checkpoint) error {
	cf.sequence++
	c.sequence = cf.sequence
	cf.buf = c.appendSlot(cf.buf[:0])
	_, err := cf.file.WriteAt(cf.buf, int64(cf.sequence%2)*slotDistance)
	return err
}

// writeDurable puts c into both slots and fsyncs them.
func (cf *checkpointFile) writeDurable(c checkpoint) error {
	if err := cf.write(c); err != nil {
		return err
	}
	if err := cf.write(c); err != nil {
		return err
	}
	return cf.file.Sync()
}

func (cf *checkpointFile) close() error { return cf.file.Close() }

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
