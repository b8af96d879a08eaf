package commitlog

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker/record"
)

// claiming is a batch with a payload of a codec, and a header that says what it likes.
func claiming(codec record.Codec, payload []byte, count int32) record.Batch {
	b := record.Batch(append(batchOf(1, "x")[:record.HeaderLen:record.HeaderLen], payload...))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-12))
	binary.BigEndian.PutUint16(b[21:], uint16(codec))
	binary.BigEndian.PutUint32(b[23:], uint32(count-1))
	binary.BigEndian.PutUint32(b[57:], uint32(count))
	return b
}

// compressedBy compresses as clients do.
func compressedBy(t testing.TB, codec kgo.CompressionCodec, payload []byte) []byte {
	t.Helper()
	c, err := kgo.DefaultCompressor(codec)
	if err != nil {
		t.Fatal(err)
	}
	packed, _ := c.Compress(new(bytes.Buffer), payload)
	return bytes.Clone(packed)
}

var clientCodecs = map[record.Codec]kgo.CompressionCodec{
	record.Gzip: kgo.GzipCompression(), record.Snappy: kgo.SnappyCompression(),
	record.LZ4: kgo.Lz4Compression(), record.Zstd: kgo.ZstdCompression(),
}

// FuzzUnpack decompresses anything by any codec, for a batch that claims any number of
// records: no panic, at most 64 MiB, and only what parses is taken for records.
func FuzzUnpack(f *testing.F) {
	payload := batchOf(1, "some", "values").Payload()
	for codec, c := range clientCodecs {
		whole := compressedBy(f, c, payload)
		f.Add(uint8(codec), whole, int32(2))
		f.Add(uint8(codec), whole, int32(math.MaxInt32)) // more than there are
		f.Add(uint8(codec), whole, int32(1))             // fewer
		f.Add(uint8(codec), whole[:len(whole)/2], int32(2))
	}
	f.Add(uint8(record.Snappy), []byte(xerialMagic+"\x00\x00\x00\x01\x00\x00\x00\x01\x7f\xff\xff\xff"), int32(1))
	f.Fuzz(func(t *testing.T, codec uint8, payload []byte, count int32) {
		if count < 1 {
			return // not admitted
		}
		var c codecs
		defer c.close()
		b := claiming(record.Codec(codec%8), payload, count)
		unpacked, err := c.unpack(b)
		if err != nil {
			return
		}
		if len(unpacked) > maxUnpackedBytes {
			t.Fatalf("%d bytes were decompressed to %d", len(payload), len(unpacked))
		}
		n := 0
		for _, err := range b.RecordsIn(unpacked) {
			if err != nil {
				break
			}
			n++
		}
		if parses(b, unpacked) && n != int(count) {
			t.Fatalf("a batch of %d records is said to parse, %d are there", count, n)
		}
	})
}

// A bomb is refused before it takes the memory, whatever the codec: zeros that shrink a
// thousandfold, in one frame or in many.
func TestBombsAreRefused(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	zeros := make([]byte, limit/4)
	for codec, c := range clientCodecs {
		// All codecs allow frames one after the other; of snappy only the framing does.
		many := bytes.Repeat(compressedBy(t, c, zeros), 5)
		if codec == record.Snappy {
			block := s2.EncodeSnappy(nil, zeros)
			block = append(binary.BigEndian.AppendUint32(nil, uint32(len(block))), block...)
			many = append([]byte(xerialMagic+"\x00\x00\x00\x01\x00\x00\x00\x01"), bytes.Repeat(block, 5)...)
		}
		for name, bomb := range map[string][]byte{"one": compressedBy(t, c, make([]byte, limit+1)), "many": many} {
			k := codecs{limit: limit}
			if _, err := k.unpack(claiming(codec, bomb, 1)); err == nil {
				t.Errorf("%v, %s: %d bytes were decompressed to more than %d", codec, name, len(bomb), limit)
			}
			if cap(k.unpacked) > 4*limit {
				t.Errorf("%v, %s: the buffer took %d bytes", codec, name, cap(k.unpacked))
			}
			k.close()
		}
	}
}
