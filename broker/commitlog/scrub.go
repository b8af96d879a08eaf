package commitlog

import (
	"errors"
	"io"
)

// Scrubbed is what Scrub found in one segment.
type Scrubbed struct {
	Next    int64           // where to go on; the log end offset after the last sealed segment
	Bytes   int64           // that were read
	Corrupt []*CorruptError // damage, in the order of the offsets
}

// Scrub reads and checks the sealed segment that holds offset from, or the first one
// behind it, so that damage shows before a reader meets it. throttle, which may be
// nil, is called with the bytes of each batch; it may wait, and an error from it ends
// the scrub. At the end of the sealed segments there is nothing to read, and
// Next is the log end offset.
func (l *Log) Scrub(from int64, throttle func(bytes int) error) (Scrubbed, error) {
	l.mu.RLock()
	if l.mu.closed {
		l.mu.RUnlock()
		return Scrubbed{}, ErrClosed
	}
	i, end := l.segmentLocked(max(from, l.mu.start)), l.mu.end
	if i == len(l.mu.segments)-1 {
		l.mu.RUnlock()
		return Scrubbed{Next: end}, nil
	}
	v, err := l.viewLocked(i)
	l.mu.RUnlock()
	if err != nil {
		return Scrubbed{}, err
	}
	found, err := v.scrub(throttle)
	return found, errors.Join(err, v.release())
}

func (v *view) scrub(throttle func(bytes int) error) (Scrubbed, error) {
	found := Scrubbed{Next: v.next}
	if v.seg.missing {
		found.Corrupt = append(found.Corrupt, newDamage(v.seg.name(), cursor{offset: v.seg.base}, cursor{offset: v.next}, errMissing).err)
		return found, nil
	}
	s := newScanner(v.file, cursor{offset: v.seg.base}, v.size, v.epochs)
	for {
		if v.log.closing.Load() {
			return found, ErrClosed
		}
		at := s.at
		b, err := s.next()
		switch {
		case errors.Is(err, io.EOF) && at.offset >= v.next:
			return found, nil
		case errors.Is(err, io.EOF):
			err = bad("records are missing, the file ends at position %d", v.size)
			found.Corrupt = append(found.Corrupt, newDamage(v.seg.name(), at, cursor{position: at.position, offset: v.next}, err).err)
			return found, nil
		case isBad(err):
			d, err := v.damageAt(at, err)
			if err != nil {
				return found, err
			}
			found.Corrupt = append(found.Corrupt, d.err)
			s.at = d.resume
			continue
		case err != nil:
			return found, err
		}
		found.Bytes += int64(len(b))
		if throttle == nil {
			continue
		}
		if err := throttle(len(b)); err != nil {
			return found, err
		}
	}
}
