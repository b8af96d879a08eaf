package broker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// headerStartBytes is the part of a request header that every version has:
	// api key, version, correlation id.
	headerStartBytes = 8
	// reserveFirst is how much of the broker's request memory a frame holds before
	// that many of its bytes have come. A client that only claims to send much must
	// not take the memory of those who do.
	reserveFirst = 64 << 10
	// firstFrameBytes is how much is allocated for a frame before its bytes come.
	firstFrameBytes = 4 << 10
	// maxHeaderTags limits the tagged fields of a request header. Clients send none.
	maxHeaderTags = 16
)

// errFrame means that bytes are not a request that is served: the connection
// cannot go on.
var errFrame = errors.New("broker: bad frame")

// request is one request as it was read, not yet decoded.
type request struct {
	key, version  int16
	token         bool // a bare message of SASL, without a header; the key is that of SaslAuthenticate
	correlationID int32
	clientID      string
	frame         []byte // key, version and all that follows, as on the wire
	body          []byte // the part of frame behind the header
	memory        int64  // what it holds of the broker's request memory
}

// frameReader reads frames as their bytes arrive. It never allocates by what a
// length prefix says.
type frameReader struct {
	src     *bufio.Reader
	limit   func(key int16) int     // bytes of a request with that key, now
	raw     func() bool             // frames are messages of SASL, without headers
	reserve func(bytes int64) error // waits for the broker's request memory
	buffers *bufferPool             // old buffers to read into
}

// next reads one frame. A clean end between frames is io.EOF. A request that comes
// with an error holds memory that is to be given back.
func (f *frameReader) next() (*request, error) {
	prefix, err := f.src.Peek(4)
	if err != nil {
		if len(prefix) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	size := int64(int32(binary.BigEndian.Uint32(prefix)))
	req := &request{key: int16(kmsg.SASLAuthenticate), token: f.raw()}
	if !req.token {
		if size < headerStartBytes || size > int64(max(f.limit(int16(kmsg.Produce)), f.limit(int16(kmsg.Metadata)))) {
			return nil, fmt.Errorf("%w: length %d%s", errFrame, size, foreign(prefix))
		}
		start, err := f.src.Peek(4 + headerStartBytes)
		if err != nil {
			return nil, unexpectedEOF(err)
		}
		req.key = int16(binary.BigEndian.Uint16(start[4:]))
		req.version = int16(binary.BigEndian.Uint16(start[6:]))
		req.correlationID = int32(binary.BigEndian.Uint32(start[8:]))
	}
	if limit := f.limit(req.key); size < 0 || size > int64(limit) {
		return nil, fmt.Errorf("%w: length %d of %s is above the limit of %d bytes", errFrame, size, apiName(req.key), limit)
	}
	if err := f.reserve(min(size, reserveFirst)); err != nil {
		return nil, err
	}
	req.memory = min(size, reserveFirst)
	_, _ = f.src.Discard(4) // peeked above
	return req, unexpectedEOF(f.read(req, int(size)))
}

// read reads size bytes into a buffer that grows with what has arrived.
func (f *frameReader) read(req *request, size int) error {
	var buf []byte
	if carriesRecords(req.key) {
		buf = f.buffers.take(min(size, reserveFirst), reserveFirst)
	}
	if cap(buf) == 0 {
		buf = make([]byte, 0, min(size, firstFrameBytes))
	}
	for len(buf) < size {
		if reserved := int(req.memory); len(buf) == reserved {
			if err := f.reserve(int64(size - reserved)); err != nil {
				return err
			}
			req.memory = int64(size)
			if carriesRecords(req.key) {
				buf = f.larger(buf, size)
			}
		}
		if len(buf) == cap(buf) {
			buf = slices.Grow(buf, min(size-len(buf), 3*len(buf)))
		}
		n, err := io.ReadFull(f.src, buf[len(buf):min(int(req.memory), cap(buf))])
		buf = buf[:len(buf)+n]
		if err != nil {
			return err
		}
	}
	req.frame = buf
	return nil
}

// larger moves what was read to a recycled buffer that holds the whole frame, if there
// is one that takes little more than the memory that the frame holds.
func (f *frameReader) larger(buf []byte, size int) []byte {
	whole := f.buffers.take(size, 2*size)
	if whole == nil {
		return buf
	}
	whole = append(whole, buf...)
	f.buffers.put(buf)
	return whole
}

// parseHeader reads the rest of the header: the client id and, for flexible
// versions, tagged fields. It must know the version, so the caller checks that
// first.
func (r *request) parseHeader(flexible bool) error {
	b := kbin.Reader{Src: r.frame[headerStartBytes:]}
	if id := b.NullableString(); id != nil { // not compact in any version
		r.clientID = *id
	}
	if flexible {
		tags := b.Uvarint()
		if tags > maxHeaderTags {
			return fmt.Errorf("%w: header of %s has %d tagged fields", errFrame, apiName(r.key), tags)
		}
		for range tags {
			b.Uvarint()
			b.Span(int(b.Uvarint()))
		}
	}
	if !b.Ok() {
		return fmt.Errorf("%w: header of %s is cut short", errFrame, apiName(r.key))
	}
	r.body = b.Src
	return nil
}

// carriesRecords reports whether requests with the key may be large.
func carriesRecords(key int16) bool {
	return key == int16(kmsg.Produce) || key == int16(kmsg.Fetch)
}

// apiName is the name of an API key for messages and metrics.
func apiName(key int16) string {
	if name := kmsg.NameForKey(key); name != "Unknown" {
		return name
	}
	return fmt.Sprintf("key %d", key)
}

// foreign guesses which other protocol a length prefix comes from.
func foreign(prefix []byte) string {
	switch s := string(prefix); {
	case s == "GET " || s == "POST" || s == "PUT " || s == "HEAD" || s == "OPTI" || s == "PRI ":
		return ": this looks like HTTP, but the port speaks the Kafka protocol"
	case prefix[0] == 0x16 && prefix[1] == 0x03:
		return ": this looks like TLS, but the port speaks plaintext Kafka"
	case s == "SSH-":
		return ": this looks like SSH, but the port speaks the Kafka protocol"
	}
	return ""
}

func unexpectedEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// appendResponseHeader begins a response frame: room for the length, the
// correlation id and, for flexible versions, no tagged fields. The header of
// ApiVersions is never flexible, so that a client of any age can read it.
func appendResponseHeader(dst []byte, correlationID int32, resp kmsg.Response) []byte {
	dst = append(dst, 0, 0, 0, 0)
	dst = kbin.AppendInt32(dst, correlationID)
	if resp.IsFlexible() && resp.Key() != int16(kmsg.ApiVersions) {
		dst = append(dst, 0)
	}
	return dst
}
