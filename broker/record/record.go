package record

import (
	"errors"
	"fmt"
	"iter"
)

// ErrCompressed means that the records of a batch are compressed, so that they
// cannot be read in place.
var ErrCompressed = errors.New("record: batch is compressed")

// Record is one record of a batch. Key, Value and the values of the headers are
// views into the batch; a nil Key or Value is Kafka's null, an empty one is not.
type Record struct {
	Offset    int64
	Timestamp int64 // milliseconds since 1970
	Key       []byte
	Value     []byte
	Headers   []Header
}

// Header is a name and a value that travel with a record. Names may repeat. A
// nil Value is Kafka's null.
type Header struct {
	Key   string
	Value []byte
}

// Records walks the records of an uncompressed batch, in order of offset. It
// yields an error once, as its last pair: one that matches ErrCompressed and
// names the codec if the batch is compressed, ErrCorrupt if the bytes do not
// parse, the count is not the header's, or offsets do not ascend.
//
// Records does not check the checksum (see Check). It copies nothing: Key, Value
// and header values live as long as the bytes of the batch do. The slice
// Record.Headers is reused and holds until the next record is asked for; whoever
// keeps it clones it.
//
// If the timestamps are the broker's, each record carries the batch's.
func (b Batch) Records() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		if c := b.Attributes().Codec(); c != None {
			yield(Record{}, fmt.Errorf("%w (%v)", ErrCompressed, c))
			return
		}
		b.walk(b.Payload(), yield)
	}
}

// RecordsIn walks the records of a batch whose payload was decompressed by the
// caller, like Records.
func (b Batch) RecordsIn(payload []byte) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) { b.walk(payload, yield) }
}

func (b Batch) walk(payload []byte, yield func(Record, error) bool) {
	var (
		attributes = b.Attributes()
		base       = b.BaseOffset()
		baseTime   = b.BaseTimestamp()
		appendTime = attributes.LogAppendTime()
		lastDelta  = b.LastOffsetDelta()
		previous   = int32(-1)
		headers    []Header
		f          fields
	)
	for i := range b.Count() {
		n := f.parse(payload)
		var err error
		switch {
		case n < 0:
			err = fault(n)
		case f.headerCount > 0:
			headers, err = f.appendHeaders(headers[:0])
		}
		if err == nil && (f.offsetDelta <= previous || f.offsetDelta > lastDelta) {
			err = fmt.Errorf("offset delta %d after %d, last %d", f.offsetDelta, previous, lastDelta)
		}
		if err != nil {
			yield(Record{}, fmt.Errorf("%w: record %d: %w", ErrCorrupt, i, err))
			return
		}
		payload, previous = payload[n:], f.offsetDelta

		r := Record{
			Offset:    base + int64(f.offsetDelta),
			Timestamp: baseTime + f.timestampDelta,
			Key:       f.key,
			Value:     f.value,
		}
		if f.headerCount > 0 {
			r.Headers = headers
		}
		if appendTime {
			r.Timestamp = b.MaxTimestamp()
		}
		if !yield(r, nil) {
			return
		}
	}
	if len(payload) > 0 {
		yield(Record{}, fmt.Errorf("%w: %d bytes after the last of %d records", ErrCorrupt, len(payload), b.Count()))
	}
}

// fields are the parts of one record as they lie in a batch:
//
//	length          varint  bytes that follow this field
//	attributes      int8    unused
//	timestampDelta  varlong
//	offsetDelta     varint
//	keyLength       varint  -1 for null
//	key             bytes
//	valueLength     varint  -1 for null
//	value           bytes
//	headerCount     varint
//	headers         each: keyLength varint, key, valueLength varint (-1 for null), value
type fields struct {
	timestampDelta int64
	offsetDelta    int32
	headerCount    int32
	key            []byte
	value          []byte
	headers        []byte // not parsed yet
}

// A fault says why bytes are no record. Positions and sizes are never negative,
// so the functions below return a fault in their place: a second result would
// cost as much as the parsing. The one who knows where the bytes come from turns it
// into ErrCorrupt or ErrInvalid.
type fault int

const (
	faultVarint fault = -1 - iota // what varint32 and varint64 return
	faultNegative
	faultTruncated
	faultExcess
	faultLength
	faultHeaders
)

func (f fault) Error() string {
	switch f {
	case faultVarint:
		return "varint is too long or cut short"
	case faultNegative:
		return "length or count is negative"
	case faultTruncated:
		return "length is too small for its fields"
	case faultExcess:
		return "length is too large for its fields"
	case faultLength:
		return "length reaches past the end of the batch"
	case faultHeaders:
		return "header count exceeds the bytes of the record"
	}
	return fmt.Sprintf("fault %d", int(f))
}

// parse reads the record at the start of b and returns its size in bytes, or a
// fault. It leaves the headers to appendHeaders or checkHeaders.
func (f *fields) parse(b []byte) (size int) {
	length, i := varint32(b, 0)
	switch {
	case i < 0:
		return i
	case length < 0:
		return int(faultNegative)
	case int(length) > len(b)-i:
		return int(faultLength)
	}
	size = i + int(length)
	b = b[:size]

	i++ // attributes
	if f.timestampDelta, i = varint64(b, i); i < 0 {
		return i
	}
	if f.offsetDelta, i = varint32(b, i); i < 0 {
		return i
	}
	if f.key, i = nullableBytes(b, i); i < 0 {
		return i
	}
	if f.value, i = nullableBytes(b, i); i < 0 {
		return i
	}
	if f.headerCount, i = varint32(b, i); i < 0 {
		return i
	}
	f.headers = b[i:]
	switch {
	case f.headerCount == 0 && i == size:
		return size
	case f.headerCount == 0:
		return int(faultExcess)
	case f.headerCount < 0:
		return int(faultNegative)
	// A header takes two bytes at least. Without this check, a count alone
	// could make the reader allocate.
	case int64(f.headerCount)*2 > int64(len(f.headers)):
		return int(faultHeaders)
	}
	return size
}

// appendHeaders parses the headers behind the fields and appends them to dst.
// Names are strings and would cost an allocation each; the records of a batch
// mostly carry the same ones in the same places, so a name that dst's spare room
// still holds from an earlier record is taken from there.
func (f *fields) appendHeaders(dst []Header) ([]Header, error) {
	rest := f.headers
	for range f.headerCount {
		key, value, n := parseHeader(rest)
		if n < 0 {
			return dst, fault(n)
		}
		rest = rest[n:]
		if n := len(dst); n < cap(dst) {
			dst = dst[:n+1]
			dst[n].Value = value
			if dst[n].Key != string(key) {
				dst[n].Key = string(key)
			}
		} else {
			dst = append(dst, Header{Key: string(key), Value: value})
		}
	}
	if len(rest) > 0 {
		return dst, faultExcess
	}
	return dst, nil
}

// checkHeaders is appendHeaders without a result.
func (f *fields) checkHeaders() error {
	rest := f.headers
	for range f.headerCount {
		_, _, n := parseHeader(rest)
		if n < 0 {
			return fault(n)
		}
		rest = rest[n:]
	}
	if len(rest) > 0 {
		return faultExcess
	}
	return nil
}

// parseHeader reads the header at the start of b and returns its size, or a
// fault.
func parseHeader(b []byte) (key, value []byte, size int) {
	key, i := nullableBytes(b, 0)
	if i >= 0 && key == nil {
		i = int(faultNegative) // a header's name is never null
	}
	if i < 0 {
		return nil, nil, i
	}
	value, i = nullableBytes(b, i)
	return key, value, i
}

// nullableBytes reads a length and that many bytes at position i of b; -1 is
// null. The next position may be a fault.
func nullableBytes(b []byte, i int) (v []byte, next int) {
	n, i := varint32(b, i)
	if i >= 0 && uint(n) <= uint(len(b)-i) {
		return b[i : i+int(n) : i+int(n)], i + int(n)
	}
	switch {
	case i < 0:
		return nil, int(faultVarint)
	case n == -1:
		return nil, i
	case n < 0:
		return nil, int(faultNegative)
	}
	return nil, int(faultTruncated)
}
