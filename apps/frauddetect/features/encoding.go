package features

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/internal/varint"
)

// ErrRow means bytes that are no row.
var ErrRow = errors.New("features: row does not parse")

// rowVersion is the first byte of an encoded row. Then follow, as varints, id, milliseconds, cents and scenario; card and terminal
// with their lengths; and the counts.
const rowVersion = 2

// AppendBinary appends the encoding of the row. It implements encoding.BinaryAppender.
func (r *Row) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, rowVersion)
	b = binary.AppendVarint(b, r.ID)
	b = binary.AppendVarint(b, r.Time.UnixMilli())
	b = binary.AppendVarint(b, int64(r.Amount))
	b = binary.AppendVarint(b, int64(r.Scenario))
	for _, s := range [...]string{r.Transaction.Card, r.Transaction.Terminal} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	r.numbers(func(n *int64) { b = binary.AppendVarint(b, *n) })
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote, and copies it.
func (r *Row) UnmarshalBinary(b []byte) error {
	from := varint.NewReader(b)
	r.Read(&from)
	if !from.Done() {
		return ErrRow
	}
	return nil
}

// Read reads a row, and copies it. If it does not parse, from is bad then.
func (r *Row) Read(from *varint.Reader) {
	if version := from.Bytes(1); len(version) == 0 || version[0] != rowVersion {
		from.Fail()
	}
	*r = Row{}
	r.ID, r.Time, r.Amount, r.Scenario = from.Int(), time.UnixMilli(from.Int()).UTC(), payment.Cents(from.Int()), int8(from.Int())
	r.Transaction.Card, r.Transaction.Terminal = string(from.Bytes(from.Uint())), string(from.Bytes(from.Uint()))
	r.numbers(func(n *int64) { *n = from.Int() })
}
