package broker

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func testFrames(src io.Reader) *frameReader {
	return &frameReader{
		src: bufio.NewReaderSize(src, readBufferBytes),
		limit: func(key int16) int {
			if carriesRecords(key) {
				return 32 << 20
			}
			return 1 << 20
		},
		raw:     func() bool { return false },
		reserve: func(int64) error { return nil }, buffers: &bufferPool{limit: 8 << 20},
	}
}

func requestFrame(key, version int16, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(10+len(body)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, 7)
	b = append(b, 0xff, 0xff) // no client id
	return append(b, body...)
}

func TestFramesInAnyPieces(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	stream := append(requestFrame(0, 9, large), requestFrame(3, 1, []byte("small"))...)
	for name, src := range map[string]io.Reader{
		"whole":  bytes.NewReader(stream),
		"bytes":  iotest.OneByteReader(bytes.NewReader(stream)),
		"halves": iotest.HalfReader(bytes.NewReader(stream)),
	} {
		frames := testFrames(src)
		for _, want := range [][]byte{large, []byte("small")} {
			req, err := frames.next()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := req.parseHeader(false); err != nil || !bytes.Equal(req.body, want) || req.correlationID != 7 {
				t.Errorf("%s: body of %d bytes, correlation id %d, %v, want %d bytes and 7", name, len(req.body), req.correlationID, err, len(want))
			}
		}
		if _, err := frames.next(); err != io.EOF {
			t.Errorf("%s: at the end: %v, want io.EOF", name, err)
		}
	}
}

// A frame holds the broker's memory for what it has sent, not for what it promises,
// until it has shown that it means it.
func TestMemoryIsReservedInTwoSteps(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, reserveFirst - 10, reserveFirst - 9, 300_000} {
		var reserved []int64
		stream := requestFrame(0, 9, make([]byte, size))
		frames := testFrames(bytes.NewReader(stream))
		frames.reserve = func(n int64) error { reserved = append(reserved, n); return nil }
		frames.buffers.put(make([]byte, 0, 512<<10))
		req, err := frames.next()
		if err != nil || len(req.frame) != size+10 || req.memory != int64(size+10) {
			t.Fatalf("%d bytes: frame of %d, memory %d, %v", size, len(req.frame), req.memory, err)
		}
		want := []int64{int64(min(size+10, reserveFirst))}
		if rest := int64(size + 10 - reserveFirst); rest > 0 {
			want = append(want, rest)
		}
		if !slices.Equal(reserved, want) {
			t.Errorf("%d bytes: reserved %v, want %v", size, reserved, want)
		}
	}
}

// A large frame is read into a buffer that was used before, once it holds the memory for
// it, and never into one of more than twice its size.
func TestFramesAreReadIntoOldBuffers(t *testing.T) {
	t.Parallel()
	old := make([]byte, 0, 512<<10)
	for _, tc := range []struct {
		key  kmsg.Key
		size int
		want bool
	}{
		{kmsg.Produce, 500 << 10, true},
		{kmsg.Produce, 256<<10 - 10, true},
		{kmsg.Produce, 200 << 10, false},
		{kmsg.Produce, 600 << 10, false},
		{kmsg.Produce, 100, false},
		{kmsg.Metadata, 500 << 10, false}, // handlers may keep parts of it
	} {
		body := bytes.Repeat([]byte("0123456789abcdef"), tc.size/16+1)[:tc.size]
		frames := testFrames(bytes.NewReader(requestFrame(int16(tc.key), 9, body)))
		frames.buffers.put(old)
		req, err := frames.next()
		if err != nil || !bytes.Equal(req.frame[10:], body) {
			t.Fatalf("%v of %d bytes: a frame of %d, %v", tc.key, tc.size, len(req.frame), err)
		}
		if got := &req.frame[:1][0] == &old[:1][0]; got != tc.want {
			t.Errorf("%v of %d bytes was read into the old buffer: %v, want %v", tc.key, tc.size, got, tc.want)
		}
	}
}

// The memory that a frame takes grows with the bytes that came, and not with what
// its prefix promises.
func TestPromisedBytesAreNotAllocated(t *testing.T) { // not parallel: it measures the process
	promised := requestFrame(int16(kmsg.Produce), 9, nil)
	binary.BigEndian.PutUint32(promised, 32<<20)
	const conns = 1000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range conns {
		if _, err := testFrames(bytes.NewReader(promised)).next(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("next = %v, want unexpected EOF", err)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > conns*3*readBufferBytes {
		t.Errorf("%d frames that promised 32 MiB took %d bytes", conns, got)
	}
}

func TestForeignProtocolsAreNamed(t *testing.T) {
	t.Parallel()
	for prefix, want := range map[string]string{
		"GET / HTTP/1.1\r\n":                           "HTTP",
		"POST / HTTP/1.1\r":                            "HTTP",
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03": "TLS",
		"SSH-2.0-OpenSSH\r\n":                          "SSH",
		"\xff\xff\xff\xff--------":                     "length -1",
	} {
		_, err := testFrames(strings.NewReader(prefix)).next()
		if !errors.Is(err, errFrame) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want an error that names %s", prefix, err, want)
		}
	}
}

// FuzzFrame feeds bytes to the frame reader: no panic, every frame lies within the
// bytes that came, and no more is allocated than four times those, 64 KiB, and for
// each frame what describes it.
func FuzzFrame(f *testing.F) {
	f.Add(requestFrame(3, 1, []byte{0, 0, 0, 0}))
	f.Add(requestFrame(18, 3, []byte{0, 4, 'k', 'g', 'o', 2, '1', 0}))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9, 0, 0, 0, 0})
	f.Add(append(requestFrame(0, 9, nil), requestFrame(1, 12, nil)...))
	f.Add(requestFrame(0, 9, bytes.Repeat([]byte("0123456789abcdef"), 5000)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		got, limit := Allocates(func() uint64 {
			frames := readFrames(t, stream)
			return uint64(64<<10 + 4*len(stream) + frames*2*int(unsafe.Sizeof(request{})))
		})
		if got > limit {
			t.Errorf("%d bytes made the reader allocate %d, the limit is %d", len(stream), got, limit)
		}
	})
}

// readFrames takes frames from the stream until one cannot be read, and counts them.
func readFrames(t *testing.T, stream []byte) (n int) {
	frames, total := testFrames(bytes.NewReader(stream)), 0
	for ; ; n++ {
		req, err := frames.next()
		if err != nil {
			return n
		}
		if total += 4 + len(req.frame); total > len(stream) {
			t.Fatalf("frames of %d bytes from %d", total, len(stream))
		}
		if kreq := kmsg.RequestForKey(req.key); kreq != nil {
			kreq.SetVersion(req.version)
			_ = req.parseHeader(kreq.IsFlexible())
		}
	}
}
