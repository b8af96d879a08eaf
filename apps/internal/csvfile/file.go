package csvfile

import (
	"bufio"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// File is a Reader on a file.
type File struct {
	*Reader
	path  string
	file  *os.File
	bytes int64        // size of the file
	read  atomic.Int64 // bytes of the file read so far

	// The first row is read by Open.
	first    Row
	firstErr error
	begun    bool
}

// Open opens a CSV file, plain or gzipped: its first bytes tell, not its name. It reads the header and the first row.
func Open(path string, cfg Config) (*File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("csvfile: %w", err)
	}
	f := &File{path: path, file: file}
	if err := f.start(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("csvfile: %s: %w", path, err), file.Close())
	}
	return f, nil
}

func (f *File) start(cfg Config) error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if info.IsDir() {
		return errors.New("is a directory: name one CSV file")
	}
	f.bytes = info.Size()
	src := bufio.NewReaderSize(countingReader{f.file, &f.read}, 256<<10)
	magic, err := src.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	var plain io.Reader = src
	if string(magic) == "\x1f\x8b" {
		if plain, err = gzip.NewReader(src); err != nil {
			return err
		}
	}
	if f.Reader, err = NewReader(plain, cfg); err != nil {
		return err
	}
	f.first, f.firstErr = f.Reader.Next()
	return nil
}

// Identity names the file in a way that survives a move and further rows at its end: by its base name and a sum of
// its header and first row.
func (f *File) Identity() string {
	sum := crc64.New(crc64.MakeTable(crc64.ECMA))
	fmt.Fprintln(sum, strings.Join(f.header, ","))
	var bad *RowError
	if errors.As(f.firstErr, &bad) {
		sum.Write(pan.Redact(bad.Raw))
	}
	// A plain sum of a card number would be as good as the number.
	sum.Write(pan.Redact(f.first.Raw))
	return fmt.Sprintf("%s (%016x)", filepath.Base(f.path), sum.Sum64())
}

// First returns the first row, or false if there is none or it does not parse. It is valid until the second call of Next.
func (f *File) First() (Row, bool) { return f.first, f.firstErr == nil }

// Next is Reader.Next. An error that ends the file names it.
func (f *File) Next() (Row, error) {
	row, err := f.first, f.firstErr
	if f.begun {
		row, err = f.Reader.Next()
	}
	f.begun = true
	if err == nil || err == io.EOF { //nolint:errorlint // Reader.Next returns io.EOF itself
		return row, err
	}
	var bad *RowError
	if errors.As(err, &bad) {
		return row, err
	}
	return row, fmt.Errorf("%s: %w: the file is damaged or cut short; run again with a whole copy of the same name", f.path, err)
}

// Progress returns how much of the file has been read, from 0 to 1. It may be called at any time.
func (f *File) Progress() float64 {
	if f.bytes <= 0 {
		return 0
	}
	return min(1, float64(f.read.Load())/float64(f.bytes))
}

// Bytes returns the size of the file on disk.
func (f *File) Bytes() int64 { return f.bytes }

// Close closes the file. Rows returned earlier stay valid until the next call of Next.
func (f *File) Close() error { return f.file.Close() }

type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (r countingReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.n.Add(int64(n))
	return n, err
}
