package varint

// Reader reads until something does not parse; from then on it reads zeros. Unlike with binary.Uvarint there is no slice to be made
// for each number, which is a good part of the time where there are many.
//
// Its zero value reads nothing. It is no more for several goroutines than a slice is.
type Reader struct {
	buf []byte
	at  int // where the next one begins
	bad bool
}

// NewReader returns a reader of b. What it returns of it are views.
func NewReader(b []byte) Reader { return Reader{buf: b} }

// Int reads what binary.AppendVarint wrote.
func (r *Reader) Int() int64 {
	v := r.Uint()
	return int64(v>>1) ^ -int64(v&1)
}

// Uint reads what binary.AppendUvarint wrote.
func (r *Reader) Uint() (v uint64) {
	at := r.at
	for shift := 0; at < len(r.buf) && shift < 64; shift += 7 {
		c := r.buf[at]
		at++
		if c < 0x80 {
			if shift == 63 && c > 1 {
				break // it does not fit
			}
			r.at = at
			return v | uint64(c)<<shift
		}
		v |= uint64(c&0x7f) << shift
	}
	r.Fail()
	return 0
}

// Bytes reads so many bytes; nil if there are not as many.
func (r *Reader) Bytes(n uint64) []byte {
	if n > uint64(len(r.buf)-r.at) {
		r.Fail()
		return nil
	}
	b := r.buf[r.at : r.at+int(n)]
	r.at += int(n)
	return b
}

// Rest is what has not been read.
func (r *Reader) Rest() []byte { return r.buf[r.at:] }

// More reports whether there is anything left.
func (r *Reader) More() bool { return r.at < len(r.buf) }

// Bad reports whether something did not parse.
func (r *Reader) Bad() bool { return r.bad }

// Done reports whether everything parsed and nothing is left.
func (r *Reader) Done() bool { return !r.bad && r.at == len(r.buf) }

// Fail says that what was read does not make sense: nothing more is read.
func (r *Reader) Fail() { r.bad, r.at = true, len(r.buf) }
