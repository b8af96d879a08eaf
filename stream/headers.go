package stream

import (
	"encoding/binary"
	"fmt"

	"github.com/riffle-stream/riffle/state"
)

// What of a record's headers says which trace it belongs to, as W3C Trace Context names them.
const (
	headerTraceParent = "traceparent"
	headerTraceState  = "tracestate"
)

// traceNotes are the notes beside windows that say which trace the last record belonged to.
type traceNotes struct {
	used    bool // windows are sent when they are closed
	headers []Header
	bytes   []byte
}

// of returns the note for a record, valid until the next call; empty if it belongs to no trace.
func (t *traceNotes) of(headers []Header) []byte {
	if !t.used || len(headers) == 0 {
		return nil
	}
	t.headers = t.headers[:0]
	for _, h := range headers {
		if h.Key == headerTraceParent || h.Key == headerTraceState {
			t.headers = append(t.headers, h)
		}
	}
	if len(t.headers) == 0 {
		return nil
	}
	t.bytes = appendHeaders(t.bytes[:0], t.headers)
	return t.bytes
}

// tracedHeaders are the headers of what is sent for a window with a note.
func tracedHeaders(note []byte) ([]Header, error) {
	if len(note) == 0 {
		return nil, nil
	}
	headers, rest, ok := parseHeaders(note, []Header{})
	if !ok || len(rest) > 0 {
		return nil, fmt.Errorf("%w: the note beside a window does not parse", state.ErrCorrupt)
	}
	return headers, nil
}

// appendHeaders appends the number of headers, and of each the lengths and bytes of key and value, as they lie in stores.
func appendHeaders(dst []byte, headers []Header) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(headers)))
	for _, h := range headers {
		dst = binary.AppendUvarint(dst, uint64(len(h.Key)))
		dst = append(dst, h.Key...)
		dst = binary.AppendUvarint(dst, uint64(len(h.Value)))
		dst = append(dst, h.Value...)
	}
	return dst
}

// parseHeaders reads headers from the front of b, and returns the rest of it. They are copied to those given, or passed
// over if these are nil; a header's null comes back empty.
func parseHeaders(b []byte, to []Header) (headers []Header, rest []byte, ok bool) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, nil, false
	}
	b = b[n:]
	part := func() []byte {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			b = nil
			return nil
		}
		p := b[n : n+int(size)]
		b = b[n+int(size):]
		return p
	}
	for range count {
		if len(b) == 0 {
			return nil, nil, false
		}
		key, value := part(), part()
		if to != nil {
			to = append(to, Header{Key: string(key), Value: append([]byte{}, value...)})
		}
	}
	return to, b, b != nil
}
