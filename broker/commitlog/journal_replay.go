package commitlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// A file of the journal begins with a header in a sector of its own:
//
//	 0  magic       4 bytes "RfJo"
//	 4  version     uint16  1
//	 6  zero        uint16
//	 8  generation  uint64  of the entries; those of earlier ones do not count
//	16  checksum    uint32  CRC-32C of the 16 bytes before
//
// and has entries behind it. Each is the end of a log:
//
//	 0  magic       4 bytes "RfJe"
//	 4  checksum    uint32  CRC-32C of all behind it
//	 8  generation  uint64
//	16  place       uint64  where in the file the entry begins
//	24  segment     int64   base offset of the log's active segment
//	32  position    int64   in the segment's .log file
//	40  bytes       uint32  of the segment
//	44  directory   uint16  length of the log's directory
//	46  zero        uint16
//	48  directory, then the bytes
const (
	journalMagic     = "RfJo"
	journalVersion   = 1
	journalHeaderLen = 512
	entryMagic       = "RfJe"
	entryHeaderLen   = 48
)

var errBadEntry = errors.New("commitlog: not an entry of the journal")

func appendJournalHeader(b []byte, generation uint64) []byte {
	begin := len(b)
	b = append(b, journalMagic...)
	b = be.AppendUint16(b, journalVersion)
	b = be.AppendUint16(b, 0)
	b = be.AppendUint64(b, generation)
	b = be.AppendUint32(b, crc32.Checksum(b[begin:], castagnoli))
	return append(b, make([]byte, journalHeaderLen-(len(b)-begin))...)
}

// parseJournalHeader returns the generation of a file, and false if its header is no good.
func parseJournalHeader(b []byte) (generation uint64, ok bool, err error) {
	if len(b) < journalHeaderLen || string(b[:4]) != journalMagic || be.Uint32(b[16:]) != crc32.Checksum(b[:16], castagnoli) {
		return 0, false, nil
	}
	if v := be.Uint16(b[4:]); v != journalVersion {
		return 0, false, fmt.Errorf("%w: a journal of version %d", ErrVersion, v)
	}
	return be.Uint64(b[8:]), true, nil
}

// entry is a parsed entry: a view.
type entry struct {
	generation uint64
	place      int64
	base       int64
	position   int64
	dir        string
	bytes      []byte
	len        int64
}

// appendEntry appends an entry without checksum, generation and place: finishEntries adds them.
func appendEntry(buf []byte, l *Log, t tail) ([]byte, error) {
	begin := len(buf)
	n := int(t.size - t.position)
	buf = append(buf, entryMagic...)
	buf = append(buf, make([]byte, 20)...)
	buf = be.AppendUint64(buf, uint64(t.segment.base))
	buf = be.AppendUint64(buf, uint64(t.position))
	buf = be.AppendUint32(buf, uint32(n))
	buf = be.AppendUint16(buf, uint16(len(l.dir)))
	buf = be.AppendUint16(buf, 0)
	buf = append(buf, l.dir...)
	at := len(buf)
	buf = slices.Grow(buf, n)[:at+n]
	f, err := t.segment.acquire()
	if err == nil {
		err = errors.Join(readFull(f, buf[at:], t.position), t.segment.release())
	}
	if err != nil {
		return buf[:begin], err
	}
	return buf, nil
}

// finishEntries completes the entries of buf, which is to be written at a place.
func finishEntries(buf []byte, generation uint64, place int64) {
	for len(buf) > 0 {
		n := entryHeaderLen + int(be.Uint16(buf[44:])) + int(be.Uint32(buf[40:]))
		be.PutUint64(buf[8:], generation)
		be.PutUint64(buf[16:], uint64(place))
		be.PutUint32(buf[4:], crc32.Checksum(buf[8:n], castagnoli))
		buf, place = buf[n:], place+int64(n)
	}
}

// parseEntry reads the entry that b begins with.
func parseEntry(b []byte) (entry, error) {
	if len(b) < entryHeaderLen || string(b[:4]) != entryMagic {
		return entry{}, errBadEntry
	}
	dirLen := int(be.Uint16(b[44:]))
	n := entryHeaderLen + dirLen + int(be.Uint32(b[40:]))
	if n > len(b) || be.Uint32(b[4:]) != crc32.Checksum(b[8:n], castagnoli) {
		return entry{}, errBadEntry
	}
	return entry{
		generation: be.Uint64(b[8:]), place: int64(be.Uint64(b[16:])),
		base: int64(be.Uint64(b[24:])), position: int64(be.Uint64(b[32:])),
		dir: string(b[entryHeaderLen : entryHeaderLen+dirLen]), bytes: b[entryHeaderLen+dirLen : n], len: int64(n),
	}, nil
}

// journalReplay puts the entries of a journal back into the logs.
type journalReplay struct {
	fsys   vfs.FS
	logger *slog.Logger
	logs   map[string]*replayed // by directory
	count  int
}

// replayed is a log that the journal has entries of.
type replayed struct {
	active int64    // base offset of the last segment, -1 if there is none
	file   vfs.File // nil until something is written
}

// replayJournal writes what the journal has into the logs, makes it durable, and removes the
// journal. It may be interrupted anywhere and begin anew.
func replayJournal(fsys vfs.FS, logger *slog.Logger) (err error) {
	var contents [2][]byte
	missing := 0
	for i := range contents {
		contents[i], err = readAll(fsys, journalName(i))
		switch {
		case isMissing(err):
			missing++
		case err != nil:
			return fmt.Errorf("commitlog: read %s: %w", journalName(i), err)
		}
	}
	if missing == len(contents) {
		return nil
	}
	r := journalReplay{fsys: fsys, logger: logger, logs: make(map[string]*replayed)}
	var files []journalContent
	for _, b := range contents {
		f, err := r.read(b)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b journalContent) int { return cmp.Compare(a.generation, b.generation) })
	for _, f := range files {
		if err := r.apply(f); err != nil {
			return errors.Join(err, r.close())
		}
	}
	if err := errors.Join(r.sync(), r.close()); err != nil {
		return err
	}
	logger.Info("the journal was replayed", "entries", r.count, "logs", len(r.logs))
	return removeJournal(fsys)
}

func removeJournal(fsys vfs.FS) error {
	for i := range 2 {
		if err := fsys.Remove(journalName(i)); err != nil && !isMissing(err) {
			return fmt.Errorf("commitlog: remove %s: %w", journalName(i), err)
		}
	}
	if err := fsys.SyncDir("."); err != nil {
		return fmt.Errorf("commitlog: remove the journal: %w", err)
	}
	return nil
}

// journalContent is what is in a file of the journal.
type journalContent struct {
	generation uint64
	entries    []entry
}

// read returns the entries of a file, up to the first that is none: what follows was never acknowledged, or
// is of an earlier generation. An entry of the same generation behind it means that the file is damaged: that is
// said, and the entry counts.
func (r *journalReplay) read(b []byte) (journalContent, error) {
	generation, ok, err := parseJournalHeader(b)
	if err != nil {
		return journalContent{}, err
	}
	f := journalContent{generation: generation}
	hole := !ok
	for at := journalHeaderLen; at < len(b); {
		e, err := parseEntry(b[at:])
		if err == nil && e.place == int64(at) && (e.generation == generation || !ok && e.generation >= f.generation) {
			if hole {
				r.logger.Error("the journal is damaged: records that were acknowledged may be lost if the machine has crashed", "position", at)
			}
			hole = false
			f.generation = e.generation
			f.entries = append(f.entries, e)
			at += int(e.len)
			continue
		}
		next := bytes.Index(b[at+1:], []byte(entryMagic))
		if next < 0 {
			break
		}
		hole = true
		at += 1 + next
	}
	return f, nil
}

// apply writes the entries of a file to the logs.
func (r *journalReplay) apply(f journalContent) error {
	for _, e := range f.entries {
		if err := r.put(e); err != nil {
			return fmt.Errorf("commitlog: replay the journal into %s: %w", e.dir, err)
		}
	}
	return nil
}

// put writes an entry to its log, if that is the log's last segment: one that has a successor was
// synced, and may have been compacted since. Logs and segments that are gone need nothing.
func (r *journalReplay) put(e entry) error {
	l := r.logs[e.dir]
	if l == nil {
		active, err := lastSegment(r.fsys, e.dir)
		if err != nil {
			return err
		}
		l = &replayed{active: active}
		r.logs[e.dir] = l
	}
	if l.active != e.base {
		return nil
	}
	if l.file == nil {
		f, err := r.fsys.Open(e.dir + "/" + fileName(e.base, logSuffix))
		if err != nil {
			return err
		}
		l.file = f
	}
	r.count++
	_, err := l.file.WriteAt(e.bytes, e.position)
	return err
}

// lastSegment returns the base offset of the last segment in a directory, -1 without one.
func lastSegment(fsys vfs.FS, dir string) (int64, error) {
	names, err := fsys.List(dir)
	if err != nil && !isMissing(err) {
		return -1, err
	}
	last := int64(-1)
	for _, name := range names {
		if base, suffix, ok := parseFileName(name); ok && suffix == logSuffix {
			last = max(last, base)
		}
	}
	return last, nil
}

func (r *journalReplay) sync() error {
	var errs []error
	for dir, l := range r.logs {
		if l.file == nil {
			continue
		}
		if err := l.file.Sync(); err != nil {
			errs = append(errs, fmt.Errorf("commitlog: replay the journal: sync %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

func (r *journalReplay) close() error {
	var errs []error
	for _, l := range r.logs {
		if l.file != nil {
			errs = append(errs, l.file.Close())
		}
	}
	return errors.Join(errs...)
}
