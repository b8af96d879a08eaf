package main

import (
	"encoding/binary"
	"slices"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/internal/varint"
)

// visit is what a terminal sees: a payment, the label of an earlier one, or a tick.
type visit struct {
	desk.Input
	// Tick says that everything before its time has come from the partition From. It goes to the partition of the key To.
	Tick bool
	From int32
	To   string
}

// terminal is the key by which visits come together.
func (v visit) terminal() string {
	switch {
	case v.Tick:
		return v.To
	case v.Label != nil:
		return v.Label.Transaction.Terminal
	}
	return v.Payment.Terminal
}

// from is the partition of cards that the visit comes from.
func (v visit) from() int32 {
	switch {
	case v.Tick:
		return v.From
	case v.Label != nil:
		return v.Label.Partition
	}
	return v.Payment.Partition
}

// tickVisit is the first byte of an encoded tick; other visits are inputs, which begin with another one.
const tickVisit = 0

// AppendBinary appends an input, or the partition and the key of a tick. It implements encoding.BinaryAppender.
func (v *visit) AppendBinary(b []byte) ([]byte, error) {
	if !v.Tick {
		return v.Input.AppendBinary(b)
	}
	b = binary.AppendVarint(append(b, tickVisit), int64(v.From))
	return append(b, v.To...), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (v *visit) UnmarshalBinary(b []byte) error {
	*v = visit{}
	if len(b) == 0 || b[0] != tickVisit {
		return v.Input.UnmarshalBinary(b)
	}
	from, n := binary.Varint(b[1:])
	if n <= 0 {
		return desk.ErrInput
	}
	v.Tick, v.From, v.To = true, int32(from), string(b[1+n:])
	return nil
}

// paymentKey tells the payments of a card apart.
func paymentKey(t payment.Transaction) string { return t.Card + "\x00" + strconv.FormatInt(t.ID, 10) }

// recentPayments are up to desk.MaxRecent payments of a card, the youngest first.
type recentPayments []desk.Recent

// add puts a payment in its place, and forgets the oldest beyond the limit.
func (p *recentPayments) add(r desk.Recent) {
	i := 0
	for i < len(*p) && (*p)[i].Time.After(r.Time) {
		i++
	}
	if i < desk.MaxRecent {
		*p = slices.Insert(*p, i, r)
		*p = (*p)[:min(len(*p), desk.MaxRecent)]
	}
}

// before are the payments up to a time, and not older than rememberRecent.
func (p recentPayments) before(t time.Time) []desk.Recent {
	for len(p) > 0 && p[0].Time.After(t) {
		p = p[1:]
	}
	for len(p) > 0 && t.Sub(p[len(p)-1].Time) >= rememberRecent {
		p = p[:len(p)-1]
	}
	return slices.Clone([]desk.Recent(p))
}

// AppendBinary appends offset, milliseconds and cents of each, as varints. It implements encoding.BinaryAppender.
func (p *recentPayments) AppendBinary(b []byte) ([]byte, error) {
	for _, r := range *p {
		b = binary.AppendVarint(b, r.Offset)
		b = binary.AppendVarint(b, r.Time.UnixMilli())
		b = binary.AppendVarint(b, int64(r.Amount))
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (p *recentPayments) UnmarshalBinary(b []byte) error {
	*p = make(recentPayments, 0, desk.MaxRecent+1)
	r := varint.NewReader(b)
	for r.More() {
		*p = append(*p, desk.Recent{Offset: r.Int(), Time: time.UnixMilli(r.Int()).UTC(), Amount: payment.Cents(r.Int())})
	}
	if !r.Done() {
		return features.ErrRow
	}
	return nil
}

// recentLabels are up to desk.MaxRecent labels of frauds at a terminal, the last first.
type recentLabels []desk.LabelPlace

func (l *recentLabels) add(p desk.LabelPlace) {
	*l = slices.Insert(*l, 0, p)
	*l = (*l)[:min(len(*l), desk.MaxRecent)]
}

// AppendBinary appends partition and offset of each, as varints. It implements encoding.BinaryAppender.
func (l *recentLabels) AppendBinary(b []byte) ([]byte, error) {
	for _, p := range *l {
		b = binary.AppendVarint(b, int64(p.Partition))
		b = binary.AppendVarint(b, p.Offset)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (l *recentLabels) UnmarshalBinary(b []byte) error {
	*l = nil
	r := varint.NewReader(b)
	for r.More() {
		*l = append(*l, desk.LabelPlace{Partition: int32(r.Int()), Offset: r.Int()})
	}
	if !r.Done() {
		return features.ErrRow
	}
	return nil
}
