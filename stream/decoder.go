package stream

import (
	"bytes"

	"github.com/riffle-stream/riffle/serde"
)

// chunkBytes is the size of the pieces of memory that short values share. One of them that is kept keeps so much.
const chunkBytes = 1 << 10

// decoder makes values of fetched bytes. Values that may share bytes with others (serde.Serde.Own) get them in chunks, so
// that they cost no allocation each. It belongs to one goroutine.
type decoder[T any] struct {
	serde serde.Serde[T]
	chunk []byte // what is left of the last one
}

func (d *decoder[T]) decode(b []byte) (T, error) {
	if d.serde.Own == nil {
		return d.serde.Decode(b)
	}
	return d.serde.Own(d.copy(b))
}

// copy returns a copy that can grow without touching another, and is not nil.
func (d *decoder[T]) copy(b []byte) []byte {
	n := len(b)
	switch {
	case n > chunkBytes/4:
		return bytes.Clone(b)
	case n > len(d.chunk) || d.chunk == nil:
		d.chunk = make([]byte, chunkBytes)
	}
	own := d.chunk[:n:n]
	d.chunk = d.chunk[n:]
	copy(own, b)
	return own
}
