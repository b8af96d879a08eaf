package processors

import "fmt"

// decoder reads numbers until there is a bad one; from then on it reads zeros.
type decoder struct {
	buf []byte
	at  int // where the next one begins
	bad bool
}

func (d *decoder) varint() int64 {
	v := d.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// uvarint is binary.Uvarint, which would need a new slice for each number: windows decode a hundred of them for a record.
func (d *decoder) uvarint() (v uint64) {
	at := d.at
	for shift := 0; at < len(d.buf) && shift < 64; shift += 7 {
		c := d.buf[at]
		at++
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break // it does not fit
			}
			d.at = at
			return v | uint64(c)<<shift
		}
		v |= uint64(c&0x7f) << shift
	}
	d.fail()
	return 0
}

func (d *decoder) bytes(size uint64) []byte {
	if size > uint64(len(d.buf)-d.at) {
		d.fail()
		return nil
	}
	b := d.buf[d.at : d.at+int(size)]
	d.at += int(size)
	return b
}

// rest is what has not been read.
func (d *decoder) rest() []byte { return d.buf[d.at:] }

func (d *decoder) fail() { d.bad, d.at = true, len(d.buf) }

// end returns an error unless everything was read and was good.
func (d *decoder) end(what string) error {
	if d.bad || d.at < len(d.buf) {
		return fmt.Errorf("processors: %s that do not parse", what)
	}
	return nil
}
