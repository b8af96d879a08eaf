package statefile

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"strconv"
	"strings"

	"github.com/riffle-stream/riffle/internal/vfs"
)

// ErrFenced means that an earlier change failed in a way that leaves open whether
// the disk holds it. The state can be read, but not changed until the broker is
// started again.
var ErrFenced = errors.New("statefile: fenced after a failed write")

// Spec says what a file is.
type Spec struct {
	Name    string // of the file
	Kind    string // what its owner calls it, in messages: "catalog"
	Magic   string // its first word
	Version int    // of the format
	// MaxBytes is the size above which a file is refused unread.
	MaxBytes int64
	// Restore says what to do about a file that is damaged.
	Restore string
}

// Error says why a file is refused. Nothing was changed.
type Error struct {
	Kind   string
	File   string
	Reason string
	Remedy string
	Err    error // the cause, or nil
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s: file %q %s; %s", e.Kind, e.File, e.Reason, e.Remedy)
}

func (e *Error) Unwrap() error { return e.Err }

// File is one file.
type File struct {
	fsys   vfs.FS
	spec   Spec
	failed error // why the file is fenced
}

// New returns a file of the broker whose directory is fsys. It does not touch the
// disk.
func New(fsys vfs.FS, spec Spec) *File { return &File{fsys: fsys, spec: spec} }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Seal puts the first line before a body.
func (s Spec) Seal(body []byte) []byte {
	return append([]byte(s.firstLine(body)+"\n"), body...)
}

func (s Spec) firstLine(body []byte) string {
	return fmt.Sprintf("%s %d crc32c=%08x", s.Magic, s.Version, crc32.Checksum(body, castagnoli))
}

// Open checks the first line and returns the body. The error is an *Error.
func (s Spec) Open(b []byte) (body []byte, err error) {
	head, body, _ := bytes.Cut(b, []byte("\n"))
	line := string(head)
	magic, rest, _ := strings.Cut(line, " ")
	if magic != s.Magic {
		return nil, &Error{
			Kind: s.Kind, File: s.Name, Reason: "is not a " + s.Kind + " of Riffle",
			Remedy: "if this directory belongs to another program, start the broker with another one; if not, " + s.Restore,
		}
	}
	number, _, _ := strings.Cut(rest, " ")
	if version, err := strconv.Atoi(number); err != nil || version < 1 {
		return nil, s.Damaged("its first line is %.60q", line)
	} else if version != s.Version {
		return nil, &Error{
			Kind: s.Kind, File: s.Name, Reason: fmt.Sprintf("has format version %d, this release reads %d", version, s.Version),
			Remedy: "start the release of Riffle that wrote it, or a later one",
		}
	}
	if want := s.firstLine(body); line != want {
		return nil, s.Damaged("its first line is %.60q, its contents say %q", line, want)
	}
	return body, nil
}

// Damaged is the error for a file whose body cannot be so.
func (s Spec) Damaged(format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Kind: s.Kind, File: s.Name, Reason: "is damaged: " + err.Error(), Remedy: s.Restore, Err: errors.Unwrap(err)}
}

// Read returns the body of the file, or nil if there is none. A file that is
// refused gives an *Error.
func (f *File) Read() (body []byte, err error) {
	file, err := f.fsys.Open(f.spec.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", f.spec.Kind, err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	size, err := file.Size()
	if err != nil {
		return nil, fmt.Errorf("%s: size of %q: %w", f.spec.Kind, f.spec.Name, err)
	}
	if size > f.spec.MaxBytes {
		return nil, f.spec.Damaged("it has %d bytes, at most %d are expected", size, f.spec.MaxBytes)
	}
	b := make([]byte, size)
	if _, err := io.ReadFull(io.NewSectionReader(file, 0, size), b); err != nil {
		return nil, fmt.Errorf("%s: read %q: %w", f.spec.Kind, f.spec.Name, err)
	}
	return f.spec.Open(b)
}

// Replace writes a new file and renames it over the old one. Until the rename
// nothing has happened, and an error leaves the old state. From then on it is not
// known which of the two a crash would leave, and a second fsync would not tell:
// the error matches ErrFenced, and so do those of all later calls.
func (f *File) Replace(body []byte) error {
	if f.failed != nil {
		return fmt.Errorf("%w; start the broker again: %w", ErrFenced, f.failed)
	}
	name, next := f.spec.Name, f.spec.Name+".new"
	if err := f.write(next, f.spec.Seal(body)); err != nil {
		_ = f.fsys.Remove(next) // it may be what fills the disk
		return fmt.Errorf("%s: write %q: %w", f.spec.Kind, next, err)
	}
	if err := f.fsys.Rename(next, name); err != nil {
		return f.fence(fmt.Errorf("%s: rename %q to %q: %w", f.spec.Kind, next, name, err))
	}
	if err := f.fsys.SyncDir("."); err != nil {
		return f.fence(fmt.Errorf("%s: sync the directory of %q: %w", f.spec.Kind, name, err))
	}
	return nil
}

func (f *File) fence(err error) error {
	f.failed = err
	return fmt.Errorf("%w; start the broker again: %w", ErrFenced, err)
}

// write starts from an empty file each time: what a failed write or fsync left of
// an earlier one does not matter.
func (f *File) write(name string, b []byte) (err error) {
	file, err := f.fsys.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := file.WriteAt(b, 0); err != nil {
		return err
	}
	return file.Sync()
}
