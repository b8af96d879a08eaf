package record

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

// What a Builder writes is, byte for byte, what kmsg writes, and Records reads it
// back.
func TestBuilderAgainstKmsg(t *testing.T) {
	t.Parallel()
	var w Builder // reused: a batch must not show through in the next
	rapid.Check(t, func(t *rapid.T) {
		nullable := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 200))
		records := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Record {
			return Record{
				Timestamp: rapid.Int64Range(-1, 1<<42).Draw(t, "timestamp"),
				Key:       nullable.Draw(t, "key"),
				Value:     nullable.Draw(t, "value"),
				Headers: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Header {
					return Header{rapid.String().Draw(t, "name"), nullable.Draw(t, "header")}
				}), 0, 3).Draw(t, "headers"),
			}
		}), 1, 150).Draw(t, "records")
		producer := rapid.Int64Range(-1, math.MaxInt64).Draw(t, "producer")
		epoch, sequence := int16(-1), int32(-1)
		if producer >= 0 {
			epoch = rapid.Int16Range(0, math.MaxInt16).Draw(t, "epoch")
			sequence = rapid.Int32Range(0, math.MaxInt32).Draw(t, "sequence")
		}

		w.Reset()
		if producer >= 0 {
			w.SetProducer(producer, epoch, sequence)
		}
		for i, r := range records {
			w.Append(r.Timestamp, r.Key, r.Value, r.Headers...)
			if w.Count() != i+1 {
				t.Fatalf("Count() = %d after %d records", w.Count(), i+1)
			}
		}
		got := w.Finish()
		if len(got) != w.Size() {
			t.Errorf("Size() = %d, the batch has %d bytes", w.Size(), len(got))
		}
		want := encodeWithKmsg(records, producer, epoch, sequence)
		if !bytes.Equal(got, want) {
			t.Errorf("bytes (-kmsg +Builder):\n%s", cmp.Diff(want, []byte(got)))
		}
		if err := got.Validate(); err != nil {
			t.Error(err)
		}

		got.SetBaseOffset(1 << 40)
		for i := range records {
			records[i].Offset = 1<<40 + int64(i)
			if len(records[i].Headers) == 0 {
				records[i].Headers = nil
			}
		}
		back, err := collect(got)
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff(records, back); diff != "" {
			t.Errorf("records (-want +got):\n%s", diff)
		}
	})
}

func encodeWithKmsg(records []Record, producer int64, epoch int16, sequence int32) []byte {
	var payload []byte
	largest := records[0].Timestamp
	for i, r := range records {
		k := kmsg.NewRecord()
		k.TimestampDelta64 = r.Timestamp - records[0].Timestamp
		k.OffsetDelta = int32(i)
		k.Key, k.Value = r.Key, r.Value
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		// The length field is the writer's to fill: that of a record whose
		// length is 0, less that field's one byte.
		k.Length = int32(len(k.AppendTo(nil))) - 1
		payload = k.AppendTo(payload)
		largest = max(largest, r.Timestamp)
	}
	b := kmsg.NewRecordBatch()
	b.Magic = 2
	b.Length = int32(HeaderLen - lengthEnd + len(payload))
	b.LastOffsetDelta = int32(len(records) - 1)
	b.FirstTimestamp, b.MaxTimestamp = records[0].Timestamp, largest
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = producer, epoch, sequence
	b.NumRecords = int32(len(records))
	b.Records = payload
	out := b.AppendTo(nil)
	sum := crc32.Checksum(out[crcStart:], crc32.MakeTable(crc32.Castagnoli))
	binary.BigEndian.PutUint32(out[17:], sum)
	return out
}

// Kafka's varint is that of encoding/binary.
func TestVarintAgainstStandardLibrary(t *testing.T) {
	t.Parallel()
	edges := []int64{0, 1, -1, 63, 64, -64, -65, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64}
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.OneOf(rapid.Int64(), rapid.SampledFrom(edges)).Draw(t, "v")
		want := binary.AppendVarint(nil, v)
		if got := appendVarint(nil, v); !bytes.Equal(got, want) {
			t.Errorf("appendVarint(%d) = %x, want %x", v, got, want)
		}
		if got := varintLen(v); got != len(want) {
			t.Errorf("varintLen(%d) = %d, want %d", v, got, len(want))
		}
		padded := append([]byte{0xff}, append(want, 0xff)...)
		if got, next := varint64(padded, 1); got != v || next != 1+len(want) {
			t.Errorf("varint64(%x) = %d, %d, want %d, %d", want, got, next, v, 1+len(want))
		}
		got, next := varint32(padded, 1)
		if v == int64(int32(v)) {
			if int64(got) != v || next != 1+len(want) {
				t.Errorf("varint32(%x) = %d, %d, want %d, %d", want, got, next, v, 1+len(want))
			}
		} else if next != -1 {
			t.Errorf("varint32(%x) = %d, %d, want -1: %d has more than 32 bits", want, got, next, v)
		}
		if _, next := varint64(want[:len(want)-1], 0); next != -1 {
			t.Errorf("varint64 of %x, cut short, has an end", want)
		}
	})
}

func TestVarintTooLong(t *testing.T) {
	t.Parallel()
	const more = "\xff"
	repeat := func(n int, last string) []byte { return append(bytes.Repeat([]byte(more), n), last...) }
	for _, b := range [][]byte{repeat(10, "\x00"), repeat(9, "\x02"), repeat(20, ""), nil} {
		if v, next := varint64(b, 0); next != -1 {
			t.Errorf("varint64(%x) = %d, %d, want -1", b, v, next)
		}
	}
	for _, b := range [][]byte{repeat(5, "\x00"), repeat(4, "\x10"), repeat(20, ""), nil} {
		if v, next := varint32(b, 0); next != -1 {
			t.Errorf("varint32(%x) = %d, %d, want -1", b, v, next)
		}
	}
}
