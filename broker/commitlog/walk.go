package commitlog

import (
	"errors"
	"io"
	"math"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// walker reads a segment from one place to its end, notes damage and goes on behind
// it.
type walker struct {
	name   string
	file   vfs.File
	epochs epochs
	visit  func(b record.Batch, position int64)
	damage []*CorruptError
	bytes  int64 // of batches visited
}

// unknownOffset is the limit of a walk without a checkpoint.
const unknownOffset = math.MaxInt64

// run walks the batches of [from, end). Bytes below limit were fsynced: if they are
// bad or missing, that is damage, and the walk goes on at the next valid batch, at
// the latest at limit. Bad bytes from limit on end the walk. It returns where the
// walk ended and, if not at the end, why.
func (w *walker) run(from, limit cursor, end int64) (stop cursor, torn, err error) {
	s := newScanner(w.file, from, end, w.epochs)
	for {
		at := s.at
		b, err := s.next()
		switch {
		case err == nil:
			w.bytes += int64(len(b))
			w.visit(b, at.position)
		case errors.Is(err, io.EOF) && (at.offset >= limit.offset || limit.offset == unknownOffset):
			return at, nil, nil
		case errors.Is(err, io.EOF):
			resume := cursor{position: at.position, offset: limit.offset}
			w.note(at, resume, bad("records are missing, the file ends at position %d", end))
			return resume, nil, nil
		case !isBad(err):
			return at, nil, err
		case at.position >= limit.position:
			return at, err, nil
		default:
			resume, rerr := resync(w.file, at, min(end, limit.position), limit.offset, w.epochs)
			if rerr != nil {
				return at, nil, rerr
			}
			w.note(at, resume, err)
			s.at = resume
		}
	}
}

func (w *walker) note(from, resume cursor, cause error) {
	w.damage = append(w.damage, newDamage(w.name, from, resume, cause).err)
}

// rebuild makes the index of a sealed segment anew from its batches, and with it its
// largest timestamp.
func (s *segment) rebuild(f vfs.File, size int64, interval int, e epochs) ([]*CorruptError, int64, error) {
	built := newSegment(s.fsys, s.base)
	w := walker{name: s.name(), file: f, epochs: e, visit: func(b record.Batch, position int64) {
		built.size = position
		built.note(b, interval)
	}}
	if _, _, err := w.run(cursor{offset: s.base}, cursor{position: size, offset: s.next}, min(size, s.size)); err != nil {
		return nil, 0, err
	}
	s.maxTimestamp, s.maxTimestampBase = built.maxTimestamp, built.maxTimestampBase
	s.index = built.index
	return w.damage, w.bytes, nil
}

// readSeal returns the seal of a segment, which is at the end of the file with that
// suffix.
func readSeal(fsys vfs.FS, base int64, suffix string) (_ seal, err error) {
	f, err := fsys.Open(fileName(base, suffix))
	if err != nil {
		return seal{}, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return seal{}, err
	}
	b := make([]byte, min(size, sealLen))
	if err := readFull(f, b, size-int64(len(b))); err != nil {
		return seal{}, err
	}
	s, err := parseSeal(b)
	if err == nil && (s.base != base || size != int64(s.prefix.offsets)*offsetEntryLen+sealLen) {
		return seal{}, errBadIndex
	}
	return s, err
}

// readIndex reads the indexes of a sealed segment and checks them against its seal.
func readIndex(s *segment) (index, error) {
	offsets, err := readAll(s.fsys, fileName(s.base, indexSuffix))
	if err != nil {
		return index{}, err
	}
	times, err := readAll(s.fsys, fileName(s.base, timeIndexSuffix))
	if err != nil {
		return index{}, err
	}
	sealed, err := parseSeal(offsets)
	switch {
	case err != nil:
		return index{}, err
	case sealed != s.seal(sealed.prefix) ||
		len(offsets) != int(sealed.prefix.offsets)*offsetEntryLen+sealLen ||
		len(times) != int(sealed.prefix.times)*timeEntryLen:
		return index{}, errBadIndex
	}
	return parseIndex(offsets[:len(offsets)-sealLen], times, sealed.prefix, s.size)
}

// writeIndex puts the indexes of a sealed segment on disk.
func writeIndex(s *segment, x index) error {
	p := (prefix{}).extend(x)
	b := append([]byte(nil), x.offsets...)
	return errors.Join(
		writeAt(s.fsys, fileName(s.base, indexSuffix), s.seal(p).append(b), 0, true),
		writeAt(s.fsys, fileName(s.base, timeIndexSuffix), x.times, 0, true),
	)
}

// loadIndex returns the index of a sealed segment. On any doubt about the files it
// is made anew from the log.
func (l *Log) loadIndex(s *segment, file vfs.File) (index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.mu.loaded != nil:
		return *s.mu.loaded, nil
	case s.missing:
		return index{}, nil
	}
	x, err := readIndex(s)
	if err != nil {
		l.logger.Warn("index is rebuilt", "segment", s.name(), "err", err)
		l.rebuilt.Add(1)
		built := newSegment(s.fsys, s.base)
		built.size, built.next = s.size, s.next
		damage, _, err := built.rebuild(file, s.size, l.interval, l.epochs())
		if err != nil {
			return index{}, err
		}
		x = built.index
		if len(damage) == 0 {
			if err := writeIndex(s, x); err != nil {
				l.logger.Warn("index is not written", "segment", s.name(), "err", err)
			}
		}
	}
	s.mu.loaded = &x
	return x, nil
}
