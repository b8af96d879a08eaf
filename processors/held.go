package processors

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// held is a record that waits in a store: what the processors that hold records back keep of it.
type held[V any] struct {
	at      int64 // event time, milliseconds
	headers []stream.Header
	value   V
}

func hold[K, V any](r stream.Record[K, V]) held[V] {
	return held[V]{at: r.Time.UnixMilli(), headers: r.Headers, value: r.Value}
}

// record returns the record as it can be sent on.
func (h held[V]) record[K any](key K) stream.Record[K, V] {
	return stream.Record[K, V]{Key: key, Value: h.value, Time: time.UnixMilli(h.at).UTC(), Headers: h.headers}
}

const heldVersion = 1

// heldSerde writes a version, and for each record its time, its headers and its value, with their numbers and lengths.
func heldSerde[V any](value serde.Serde[V]) serde.Serde[[]held[V]] {
	return serde.Serde[[]held[V]]{
		Name: "held(" + value.Name + ")",
		Err:  value.Valid(),
		Encode: func(dst []byte, records []held[V]) ([]byte, error) {
			out := append(dst, heldVersion)
			var encoded []byte
			for _, h := range records {
				var err error
				if encoded, err = value.Encode(encoded[:0], h.value); err != nil {
					return dst, err
				}
				out = binary.AppendVarint(out, h.at)
				out = binary.AppendUvarint(out, uint64(len(h.headers)))
				for _, header := range h.headers {
					out = appendBytes(appendBytes(out, []byte(header.Key)), header.Value)
				}
				out = appendBytes(out, encoded)
			}
			return out, nil
		},
		Decode: func(b []byte) (records []held[V], err error) {
			if len(b) == 0 || b[0] != heldVersion {
				return nil, errors.New("processors: held records that do not parse")
			}
			d := varint.NewReader(b[1:])
			for d.More() {
				h := held[V]{at: d.Int()}
				for n := d.Uint(); n > 0 && !d.Bad(); n-- {
					key := string(d.Bytes(d.Uint()))
					h.headers = append(h.headers, stream.Header{Key: key, Value: append([]byte{}, d.Bytes(d.Uint())...)})
				}
				encoded := d.Bytes(d.Uint())
				if d.Bad() {
					break
				}
				if h.value, err = value.Decode(encoded); err != nil {
					return nil, err
				}
				records = append(records, h)
			}
			return records, parsed(&d, "held records")
		},
	}
}

// appendBytes appends the length of b and b.
func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}
