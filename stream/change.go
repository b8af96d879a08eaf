package stream

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/riffle-stream/riffle/serde"
)

// Optional is a value that may be missing. Its zero value is a missing one.
type Optional[V any] struct {
	Value   V // the zero value if it is missing
	Present bool
}

func some[V any](v V) Optional[V] { return Optional[V]{v, true} }

// Change is what happens to a key of a table. A value that is missing in Old was inserted, one that is missing in
// New was deleted.
type Change[V any] struct{ Old, New Optional[V] }

// How a change is laid out in a repartition topic: a byte of flags; with both, the length of the old value as a
// uvarint; the old value; the new one.
const (
	changeOld = 1 << iota
	changeNew
)

// changeSerde writes changes to the repartition topic of a table.
func changeSerde[V any](value serde.Serde[V]) serde.Serde[Change[V]] {
	name := "change(" + value.Name + ")"
	fail := func(err error) error { return &serde.Error{Serde: name, Op: "decode", Err: err} }
	return serde.Serde[Change[V]]{
		Name: name, Err: value.Valid(),
		Encode: func(dst []byte, c Change[V]) ([]byte, error) { return appendChange(dst, c, value) },
		Decode: func(b []byte) (c Change[V], err error) {
			if len(b) == 0 || b[0] == 0 || b[0] > changeOld|changeNew {
				return c, fail(fmt.Errorf("%x does not begin with the flags of a change", b[:min(len(b), 1)]))
			}
			flags, b := b[0], b[1:]
			before := b
			if flags == changeOld|changeNew {
				size, n := binary.Uvarint(b)
				if n <= 0 || size > uint64(len(b)-n) {
					return c, fail(errors.New("the old value is longer than the record"))
				}
				before, b = b[n:n+int(size)], b[n+int(size):]
			}
			if flags&changeOld != 0 {
				if c.Old.Value, err = value.Decode(before); err != nil {
					return Change[V]{}, err
				}
				c.Old.Present = true
			}
			if flags&changeNew != 0 {
				if c.New.Value, err = value.Decode(b); err != nil {
					return Change[V]{}, err
				}
				c.New.Present = true
			}
			return c, nil
		},
	}
}

func appendChange[V any](dst []byte, c Change[V], value serde.Serde[V]) (b []byte, err error) {
	var flags byte
	if c.Old.Present {
		flags |= changeOld
	}
	if c.New.Present {
		flags |= changeNew
	}
	b = append(dst, flags)
	if c.Old.Present {
		start := len(b)
		if b, err = value.Encode(b, c.Old.Value); err != nil {
			return dst, err
		}
		if c.New.Present {
			b = prefixLength(b, start)
		}
	}
	if c.New.Present {
		if b, err = value.Encode(b, c.New.Value); err != nil {
			return dst, err
		}
	}
	return b, nil
}

// prefixLength puts the length of b[start:] in front of it, as a uvarint.
func prefixLength(b []byte, start int) []byte {
	var prefix [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(prefix[:], uint64(len(b)-start))
	b = append(b, prefix[:n]...)
	copy(b[start+n:], b[start:len(b)-n])
	copy(b[start:], prefix[:n])
	return b
}
