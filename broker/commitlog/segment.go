package commitlog

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// The files of a segment.
const (
	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeIndexSuffix = ".timeindex"
	snapshotSuffix  = ".snapshot"
)

// fileName is an offset in 20 digits and a suffix, so that names sort by offset.
func fileName(offset int64, suffix string) string { return fmt.Sprintf("%020d%s", offset, suffix) }

// parseFileName is the inverse of fileName.
func parseFileName(name string) (offset int64, suffix string, ok bool) {
	digits, rest, found := strings.Cut(name, ".")
	if !found || len(digits) != 20 {
		return 0, "", false
	}
	offset, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || offset < 0 {
		return 0, "", false
	}
	return offset, "." + rest, true
}

// segment is a piece of a log: the records of [base, next).
type segment struct {
	fsys    vfs.FS
	base    int64
	missing bool // there is no file; its records are lost

	// The following are guarded by Log.mu as long as the segment is active, and
	// never change once it is sealed.
	size             int64 // bytes of batches
	next             int64
	maxTimestamp     int64 // -1 if no record has one
	maxTimestampBase int64 // base offset of the first batch that has it
	index            index // of the active segment

	mu struct {
		sync.Mutex
		file   vfs.File  // nil if it is not open
		refs   int       // who uses it
		pinned bool      // the segment is active, its file stays open
		used   bool      // since the last call of closeIdle
		loaded *index    // of a sealed segment, if it is loaded
		txns   *txnIndex // of a sealed segment, if it is loaded
		gone   bool      // close it with the last release
	}
}

func newSegment(fsys vfs.FS, base int64) *segment {
	return &segment{fsys: fsys, base: base, next: base, maxTimestamp: -1, maxTimestampBase: base}
}

func (s *segment) name() string { return fileName(s.base, logSuffix) }

// acquire opens the file, or finds it open. Each call is answered by a release.
func (s *segment) acquire() (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file == nil && !s.missing {
		f, err := s.fsys.Open(s.name())
		if err != nil {
			return nil, fmt.Errorf("commitlog: open %s: %w", s.name(), err)
		}
		s.mu.file = f
	}
	s.mu.refs++
	s.mu.used = true
	return s.mu.file, nil
}

func (s *segment) release() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.refs--
	if s.mu.gone && s.mu.refs == 0 {
		return s.closeLocked()
	}
	return nil
}

// retire closes the file as soon as nobody uses it.
func (s *segment) retire() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.gone = true
	if s.mu.refs == 0 {
		return s.closeLocked()
	}
	return nil
}

// closeIdle closes the file if nobody uses it or used it since the last call, so
// that old segments do not hold descriptors and indexes for ever.
func (s *segment) closeIdle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	idle := !s.mu.used && s.mu.refs == 0 && !s.mu.pinned
	s.mu.used = false
	if !idle {
		return nil
	}
	return s.closeLocked()
}

// suspend closes the file until it is acquired again.
func (s *segment) suspend() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closeLocked()
}

// pin makes f the file of the active segment.
func (s *segment) pin(f vfs.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.file, s.mu.pinned = f, true
}

// unpin is called when the segment is sealed.
func (s *segment) unpin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.pinned, s.mu.used = false, true
}

func (s *segment) closeLocked() error {
	s.mu.loaded = nil
	if s.mu.file == nil {
		return nil
	}
	err := s.mu.file.Close()
	s.mu.file = nil
	return err
}

// note takes a batch at the end of the active segment into account.
func (s *segment) note(b record.Batch, interval int) {
	if b.MaxTimestamp() > s.maxTimestamp {
		s.maxTimestamp, s.maxTimestampBase = b.MaxTimestamp(), b.BaseOffset()
	}
	s.index.note(b, s.base, s.size, s.maxTimestamp, interval)
	s.size += int64(len(b))
	s.next = b.NextOffset()
}

// seal describes the segment as complete.
func (s *segment) seal(p prefix) seal {
	return seal{
		base: s.base, size: s.size, next: s.next,
		maxTimestamp: s.maxTimestamp, maxTimestampBase: s.maxTimestampBase, prefix: p,
	}
}

// firstTimestamp is the largest timestamp of the first batch, or -1.
func (s *segment) firstTimestamp() (ms int64, err error) {
	f, err := s.acquire()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.release()) }()
	header := make([]byte, record.HeaderLen)
	if err := readFull(f, header, 0); err != nil {
		return -1, ignoreBad(err)
	}
	return record.Batch(header).MaxTimestamp(), nil
}

// readAll returns the contents of a file.
func readAll(fsys vfs.FS, name string) ([]byte, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	b, err := readAllOf(f)
	return b, errors.Join(err, f.Close())
}

func readAllOf(f vfs.File) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// writeAt writes b into a file at a position, cuts it behind, and fsyncs it if
// durable. The file is made if it is missing.
func writeAt(fsys vfs.FS, name string, b []byte, position int64, durable bool) error {
	f, err := fsys.Open(name)
	if isMissing(err) && position == 0 {
		f, err = fsys.Create(name)
	}
	if err != nil {
		return err
	}
	if len(b) > 0 {
		_, err = f.WriteAt(b, position)
	}
	if err == nil {
		err = f.Truncate(position + int64(len(b)))
	}
	if err == nil && durable {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}
