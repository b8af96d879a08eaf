package commitlog

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"

	"github.com/riffle-stream/riffle/broker/record"
)

// maxUnpackedBytes is how large the records of one batch may be once they are
// decompressed. A batch with more is left as it is.
const maxUnpackedBytes = 64 << 20

// errUnpackedTooLarge means that a batch has more than maxUnpackedBytes.
var errUnpackedTooLarge = fmt.Errorf("commitlog: batch has more than %d bytes when decompressed", maxUnpackedBytes)

// codecs compress and decompress batches for compaction, the only part of the broker
// that does. They keep their buffers. The zero value is ready to use, by one
// goroutine at a time.
type codecs struct {
	zstdReader *zstd.Decoder
	zstdWriter *zstd.Encoder
	unpacked   []byte
	limit      int // of unpacked; 0 stands for maxUnpackedBytes
}

// maxBytes is how large the records of one batch may become.
func (c *codecs) maxBytes() int { return cmp.Or(c.limit, maxUnpackedBytes) }

// unpack returns the records of a batch, decompressed: a view that holds until the
// next call.
func (c *codecs) unpack(b record.Batch) ([]byte, error) {
	var err error
	switch codec := b.Attributes().Codec(); codec {
	case record.None:
		return b.Payload(), nil
	case record.Gzip:
		var r *gzip.Reader
		if r, err = gzip.NewReader(bytes.NewReader(b.Payload())); err == nil {
			err = c.readLimited(r)
		}
	case record.Snappy:
		err = c.unsnap(b.Payload())
	case record.LZ4:
		err = c.readLimited(lz4.NewReader(bytes.NewReader(b.Payload())))
	case record.Zstd:
		if c.zstdReader == nil {
			c.zstdReader, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1),
				zstd.WithDecoderMaxMemory(uint64(c.maxBytes())), zstd.WithDecoderLowmem(true))
		}
		if err == nil {
			c.unpacked, err = c.zstdReader.DecodeAll(b.Payload(), c.unpacked[:0])
		}
	default:
		err = fmt.Errorf("unknown %v", codec)
	}
	if err != nil {
		return nil, fmt.Errorf("commitlog: decompress batch at offset %d (%v): %w", b.BaseOffset(), b.Attributes().Codec(), err)
	}
	return c.unpacked, nil
}

func (c *codecs) readLimited(r io.Reader) error {
	buf := bytes.NewBuffer(c.unpacked[:0])
	n, err := buf.ReadFrom(io.LimitReader(r, int64(c.maxBytes())+1))
	c.unpacked = buf.Bytes()
	if err == nil && n > int64(c.maxBytes()) {
		return errUnpackedTooLarge
	}
	return err
}

// xerialMagic begins the framing that Java's snappy library writes around blocks.
// Other clients send one bare block.
const xerialMagic = "\x82SNAPPY\x00"

func (c *codecs) unsnap(b []byte) error {
	c.unpacked = c.unpacked[:0]
	if !bytes.HasPrefix(b, []byte(xerialMagic)) {
		return c.unsnapBlock(b)
	}
	const frameHeaderLen = 16
	if len(b) < frameHeaderLen {
		return io.ErrUnexpectedEOF
	}
	for b = b[frameHeaderLen:]; len(b) > 0; {
		if len(b) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(b))
		if n > int64(len(b)-4) {
			return io.ErrUnexpectedEOF
		}
		if err := c.unsnapBlock(b[4 : 4+n]); err != nil {
			return err
		}
		b = b[4+n:]
	}
	return nil
}

func (c *codecs) unsnapBlock(b []byte) error {
	n, err := s2.DecodedLen(b)
	if err != nil {
		return err
	}
	have := len(c.unpacked)
	if n > c.maxBytes()-have {
		return errUnpackedTooLarge
	}
	if cap(c.unpacked)-have < n {
		c.unpacked = append(make([]byte, 0, max(have+n, 2*cap(c.unpacked))), c.unpacked...)
	}
	_, err = s2.Decode(c.unpacked[have:have+n], b)
	c.unpacked = c.unpacked[:have+n]
	return err
}

// packer returns what record.Rewriter.Finish compresses with, nil for none.
func (c *codecs) packer(codec record.Codec) func(dst, payload []byte) ([]byte, error) {
	write := func(dst, payload []byte, open func(io.Writer) (io.WriteCloser, error)) ([]byte, error) {
		buf := bytes.NewBuffer(dst)
		w, err := open(buf)
		if err == nil {
			_, err = w.Write(payload)
			err = errors.Join(err, w.Close())
		}
		return buf.Bytes(), err
	}
	switch codec {
	case record.Gzip:
		return func(dst, payload []byte) ([]byte, error) {
			return write(dst, payload, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
		}
	case record.Snappy:
		return func(dst, payload []byte) ([]byte, error) { return append(dst, xerial.Encode(nil, payload)...), nil }
	case record.LZ4:
		return func(dst, payload []byte) ([]byte, error) {
			return write(dst, payload, func(w io.Writer) (io.WriteCloser, error) {
				lw := lz4.NewWriter(w)
				return lw, lw.Apply(lz4.BlockSizeOption(lz4.Block64Kb))
			})
		}
	case record.Zstd:
		return func(dst, payload []byte) ([]byte, error) {
			if c.zstdWriter == nil {
				var err error
				c.zstdWriter, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
				if err != nil {
					return dst, err
				}
			}
			return c.zstdWriter.EncodeAll(payload, dst), nil
		}
	}
	return nil
}

func (c *codecs) close() {
	if c.zstdReader != nil {
		c.zstdReader.Close()
	}
	*c = codecs{}
}
