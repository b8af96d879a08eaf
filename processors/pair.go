package processors

import (
	"encoding/binary"
	"errors"

	"github.com/riffle-stream/riffle/serde"
)

// pair is the key of an entry that belongs to a record's key: parts of different keys never meet, in whichever
// partition the keys lie.
type pair[K, P any] struct {
	key  K
	part P
}

// pairSerde writes the length of the key's bytes as a varint, the key's bytes, and the part's.
func pairSerde[K, P any](key serde.Serde[K], part serde.Serde[P]) serde.Serde[pair[K, P]] {
	return serde.Serde[pair[K, P]]{
		Name: "pair(" + key.Name + ", " + part.Name + ")",
		Err:  errors.Join(key.Valid(), part.Valid()),
		Encode: func(dst []byte, v pair[K, P]) ([]byte, error) {
			start := len(dst)
			out, err := key.Encode(dst, v.key)
			if err != nil {
				return dst, err
			}
			size := len(out) - start
			var prefix [binary.MaxVarintLen64]byte
			n := binary.PutUvarint(prefix[:], uint64(size))
			out = append(out, prefix[:n]...)
			copy(out[start+n:], out[start:start+size])
			copy(out[start:], prefix[:n])
			if out, err = part.Encode(out, v.part); err != nil {
				return dst, err
			}
			return out, nil
		},
		Decode: func(b []byte) (v pair[K, P], err error) {
			size, n := binary.Uvarint(b)
			if n <= 0 || size > uint64(len(b)-n) {
				return v, errors.New("processors: a key without its length")
			}
			b = b[n:]
			if v.key, err = key.Decode(b[:size]); err != nil {
				return v, err
			}
			v.part, err = part.Decode(b[size:])
			return v, err
		},
	}
}
