package processors

import (
	"encoding/binary"
	"fmt"
)

// decoder reads numbers until there is a bad one; from then on it reads zeros.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) bytes(size uint64) []byte {
	if size > uint64(len(d.rest)) {
		d.fail()
		return nil
	}
	b := d.rest[:size]
	d.rest = d.rest[size:]
	return b
}

func (d *decoder) fail() { d.bad, d.rest = true, nil }

// end returns an error unless everything was read and was good.
func (d *decoder) end(what string) error {
	if d.bad || len(d.rest) > 0 {
		return fmt.Errorf("processors: %s that do not parse", what)
	}
	return nil
}
