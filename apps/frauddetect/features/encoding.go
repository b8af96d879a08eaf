package features

import (
	"encoding/binary"
	"errors"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
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
	rest, err := r.Cut(b)
	if err != nil || len(rest) > 0 {
		return ErrRow
	}
	return nil
}

// Cut reads a row from the beginning of b, and returns what follows it.
func (r *Row) Cut(b []byte) (rest []byte, err error) {
	if len(b) == 0 || b[0] != rowVersion {
		return nil, ErrRow
	}
	b = b[1:]
	var head [4]int64
	for i := range head {
		if head[i], b, err = cutVarint(b); err != nil {
			return nil, err
		}
	}
	*r = Row{Transaction: payment.Transaction{
		ID: head[0], Time: time.UnixMilli(head[1]).UTC(), Amount: payment.Cents(head[2]), Scenario: int8(head[3]),
	}}
	for _, s := range [...]*string{&r.Transaction.Card, &r.Transaction.Terminal} {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, ErrRow
		}
		*s, b = string(b[n:n+int(size)]), b[n+int(size):]
	}
	r.numbers(func(n *int64) {
		if err == nil {
			*n, b, err = cutVarint(b)
		}
	})
	return b, err
}

func cutVarint(b []byte) (int64, []byte, error) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, ErrRow
	}
	return v, b[n:], nil
}
