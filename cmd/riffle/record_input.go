package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// maxLineBytes limits a line of input: a line is held in memory before it is known whether a topic takes it.
const maxLineBytes = 64 << 20

// recordInput says what records look like in the input.
type recordInput struct {
	separator  string
	layout     string
	format     *choice
	headers    []string
	tombstones bool
}

func (in *recordInput) isLayout() bool { return in.layout != "" }

// badRecordError reports a piece of input that is no record. What follows it can be read.
type badRecordError struct{ err error }

func (e *badRecordError) Error() string { return e.err.Error() }
func (e *badRecordError) Unwrap() error { return e.err }

// open returns the source of records, or a usageError.
func (in *recordInput) open(r io.Reader) (recordSource, error) {
	headers, err := parsePairs("--header", in.headers)
	if err != nil {
		return nil, err
	}
	source, err := in.source(r)
	if err != nil {
		return nil, err
	}
	return &inputFilter{source, headers, in.tombstones}, nil
}

func (in *recordInput) source(r io.Reader) (recordSource, error) {
	lines := lineReader{bufio.NewReaderSize(r, 64<<10)}
	isJSON := in.format.value == "json"
	switch {
	case isJSON && (in.isLayout() || in.separator != ""):
		return nil, usagef("--format json leaves nothing to -K and -f: drop one of them")
	case in.isLayout() && in.separator != "":
		return nil, usagef("-K splits lines, -f says what a record is: drop one of them")
	case isJSON:
		return &jsonSource{lines}, nil
	case in.isLayout():
		source, err := kgo.NewRecordReader(r, in.layout)
		if err != nil {
			return nil, usagef("-f %q: %w", in.layout, err)
		}
		return source, nil
	}
	return &lineSource{lines, []byte(in.separator)}, nil
}

// inputFilter does what the flags ask for all records, whatever they were read from.
type inputFilter struct {
	recordSource
	headers    []pair
	tombstones bool
}

func (f *inputFilter) ReadRecord() (*kgo.Record, error) {
	r, err := f.recordSource.ReadRecord()
	if err != nil {
		return nil, err
	}
	for _, h := range f.headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: h.name, Value: []byte(h.value)})
	}
	if f.tombstones && len(r.Value) == 0 {
		r.Value = nil
	}
	return r, nil
}

// lineReader reads lines of bounded length.
type lineReader struct{ r *bufio.Reader }

// next returns a line of its own memory without its end, \n or \r\n. A line that is too long is skipped.
func (l *lineReader) next() ([]byte, error) {
	var line []byte
	size := 0
	for {
		part, err := l.r.ReadSlice('\n')
		if size += len(part); size <= maxLineBytes {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && (err != io.EOF || size == 0) {
			return nil, err
		}
		break
	}
	if size > maxLineBytes {
		return nil, &badRecordError{fmt.Errorf("it has %d bytes, a line may have %d", size, maxLineBytes)}
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}

// lineSource makes a record of each line.
type lineSource struct {
	lines     lineReader
	separator []byte // empty: no keys
}

func (s *lineSource) ReadRecord() (*kgo.Record, error) {
	line, err := s.lines.next()
	if err != nil {
		return nil, err
	}
	if line == nil {
		line = []byte{} // empty, not a tombstone
	}
	if len(s.separator) == 0 {
		return &kgo.Record{Value: line}, nil
	}
	key, value, ok := bytes.Cut(line, s.separator)
	if !ok {
		return nil, &badRecordError{fmt.Errorf("it has no key separator %q", s.separator)}
	}
	return &kgo.Record{Key: key, Value: value}, nil
}
