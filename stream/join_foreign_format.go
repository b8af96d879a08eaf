package stream

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// rowHash tells versions of a row apart.
type rowHash [16]byte

// hashRow returns the hash of a row and its time, and the buffer that it used.
func hashRow[V any](buf []byte, s serde.Serde[state.Timed[V]], v V, at time.Time) (rowHash, []byte, error) {
	buf, err := s.Encode(buf[:0], state.Timed[V]{Value: v, Time: at})
	sum := sha256.Sum256(buf)
	return rowHash(sum[:len(rowHash{})]), buf, err
}

// subscription says that a row wants a foreign row, or no more. In its topic it is a byte, 1 or 0; the hash of the row;
// its key.
type subscription struct {
	wanted bool
	hash   rowHash
	row    []byte // encoded key
}

// answer is what a foreign row is, or that it is not there. In its topic it is a byte, 1 or 0; the hash of the row that
// asked; the foreign row with its time.
type answer struct {
	found bool
	hash  rowHash
	row   []byte // encoded value
}

var subscriptionSerde = flaggedSerde("subscription",
	func(s subscription) (bool, rowHash, []byte) { return s.wanted, s.hash, s.row },
	func(wanted bool, hash rowHash, row []byte) subscription { return subscription{wanted, hash, row} })

var answerSerde = flaggedSerde("answer",
	func(a answer) (bool, rowHash, []byte) { return a.found, a.hash, a.row },
	func(found bool, hash rowHash, row []byte) answer { return answer{found, hash, row} })

// flaggedSerde writes a flag, a hash and bytes.
func flaggedSerde[T any](name string, take func(T) (bool, rowHash, []byte), make func(bool, rowHash, []byte) T) serde.Serde[T] {
	return serde.Serde[T]{
		Name: name,
		Encode: func(dst []byte, v T) ([]byte, error) {
			flag, hash, rest := take(v)
			if flag {
				dst = append(dst, 1)
			} else {
				dst = append(dst, 0)
			}
			return append(append(dst, hash[:]...), rest...), nil
		},
		Decode: func(b []byte) (v T, err error) {
			var hash rowHash
			if len(b) < 1+len(hash) || b[0] > 1 {
				return v, &serde.Error{Serde: name, Op: "decode", Err: errors.New("no flag and hash in front")}
			}
			copy(hash[:], b[1:])
			return make(b[0] == 1, hash, append([]byte{}, b[1+len(hash):]...)), nil
		},
	}
}

// appendSubscriber appends what the store says of a row that wants a foreign row: the hash of the row and its time.
func appendSubscriber(dst []byte, hash rowHash, at time.Time) []byte {
	return binary.BigEndian.AppendUint64(append(dst, hash[:]...), uint64(at.UnixMilli()))
}

func parseSubscriber(b []byte) (hash rowHash, at time.Time, err error) {
	if len(b) != len(hash)+8 {
		return hash, at, fmt.Errorf("%w: a subscriber of %d bytes", state.ErrCorrupt, len(b))
	}
	copy(hash[:], b)
	return hash, time.UnixMilli(int64(binary.BigEndian.Uint64(b[len(hash):]))).UTC(), nil
}

// prefixEnd returns the first key after all that begin with a prefix: nil if there is none.
func prefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			to := append([]byte{}, prefix[:i+1]...)
			to[i]++
			return to
		}
	}
	return nil
}
