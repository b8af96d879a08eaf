package desk

import (
	"encoding/binary"
	"encoding/json/v2"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/internal/varint"
)

// Input is one of what decides: exactly one of its fields is set.
type Input struct {
	Payment *Prepared
	// Label says what an earlier payment was. Models that learn learn from it.
	Label  *Label
	Change *Change
}

// Label is a label with where it was read.
type Label struct {
	payment.Label
	LabelPlace
}

// Prepared is a payment with everything that is known of it.
type Prepared struct {
	features.Row
	// Partition and Offset say where the payment was read in [Transactions].
	Partition int32
	Offset    int64
	// Verdict is unique, double or near; First is the payment that it may repeat.
	Verdict duplicates.Verdict
	First   int64 // offset, in the same partition
	Velocity
	// Recent are up to MaxRecent earlier payments of the card within 30 days, the youngest first.
	Recent []Recent
	// Frauds are where the last labels of frauds at the terminal were read, up to MaxRecent, the youngest first.
	Frauds []LabelPlace
}

// Velocity is what happened shortly before a payment, itself included.
type Velocity struct {
	CardPayments5m, CardPayments1h int64
	CardCents1h                    int64
	TerminalPayments10m            int64
}

// MaxRecent bounds what a payment carries of the past.
const MaxRecent = 5

// LabelPlace is where a label was read in [Labels].
type LabelPlace struct {
	Partition int32
	Offset    int64
}

// At is the event time. A change has none: it neither waits for payments nor ends their windows.
func (in Input) At() time.Time {
	switch {
	case in.Payment != nil:
		return in.Payment.Time
	case in.Label != nil:
		return in.Label.Known
	}
	return time.UnixMilli(0)
}

// ErrInput means bytes that are no input.
var ErrInput = errors.New("desk: input does not parse")

// The first byte of an encoded input.
const (
	kindPayment = 1
	kindLabel   = 2
	kindChange  = 3
)

// verdicts are encoded by their place.
var verdicts = [...]duplicates.Verdict{duplicates.Unique, duplicates.Double, duplicates.Near}

// AppendBinary appends a byte for the kind, and a Prepared in its own form, a label's place and its Avro, or a change in JSON. It implements
// encoding.BinaryAppender.
func (in *Input) AppendBinary(b []byte) ([]byte, error) {
	switch {
	case in.Payment != nil:
		return in.Payment.append(append(b, kindPayment))
	case in.Label != nil:
		b = binary.AppendVarint(append(b, kindLabel), int64(in.Label.Partition))
		return Labels.Value.Encode(binary.AppendVarint(b, in.Label.Offset), in.Label.Label)
	case in.Change != nil:
		text, err := json.Marshal(in.Change, json.Deterministic(true))
		return append(append(b, kindChange), text...), err
	}
	return b, errors.New("desk: an input of nothing")
}

// UnmarshalBinary reads what AppendBinary wrote, and copies it.
func (in *Input) UnmarshalBinary(b []byte) (err error) {
	*in = Input{}
	if len(b) == 0 {
		return ErrInput
	}
	switch kind, b := b[0], b[1:]; kind {
	case kindPayment:
		in.Payment = new(Prepared)
		err = in.Payment.parse(b)
	case kindLabel:
		in.Label = new(Label)
		err = in.Label.parse(b)
	case kindChange:
		in.Change = new(Change)
		err = json.Unmarshal(b, in.Change)
	default:
		err = fmt.Errorf("%w: kind %d", ErrInput, kind)
	}
	return err
}

func (l *Label) parse(b []byte) (err error) {
	r := varint.NewReader(b)
	l.LabelPlace = LabelPlace{int32(r.Int()), r.Int()}
	if r.Bad() {
		return ErrInput
	}
	l.Label, err = Labels.Value.Decode(r.Rest())
	return err
}

// append appends the row, and as varints what is beside it.
func (p *Prepared) append(b []byte) ([]byte, error) {
	verdict := -1
	for i, v := range verdicts {
		if v == p.Verdict {
			verdict = i
		}
	}
	if verdict < 0 {
		return b, fmt.Errorf("desk: a payment with the verdict %q is not decided", p.Verdict)
	}
	b, err := p.AppendBinary(b)
	for _, n := range [...]int64{
		int64(p.Partition), p.Offset, int64(verdict), p.First,
		p.CardPayments5m, p.CardPayments1h, p.CardCents1h, p.TerminalPayments10m, int64(len(p.Recent)),
	} {
		b = binary.AppendVarint(b, n)
	}
	for _, r := range p.Recent {
		b = binary.AppendVarint(b, r.Offset)
		b = binary.AppendVarint(b, r.Time.UnixMilli())
		b = binary.AppendVarint(b, int64(r.Amount))
	}
	b = binary.AppendVarint(b, int64(len(p.Frauds)))
	for _, f := range p.Frauds {
		b = binary.AppendVarint(b, int64(f.Partition))
		b = binary.AppendVarint(b, f.Offset)
	}
	return b, err
}

func (p *Prepared) parse(b []byte) error {
	r := varint.NewReader(b)
	p.Read(&r)
	p.Partition, p.Offset = int32(r.Int()), r.Int()
	verdict := r.Int()
	if verdict < 0 || verdict >= int64(len(verdicts)) {
		return ErrInput
	}
	p.Verdict, p.First = verdicts[verdict], r.Int()
	p.Velocity = Velocity{r.Int(), r.Int(), r.Int(), r.Int()}
	if n := few(&r); n > 0 {
		p.Recent = make([]Recent, n)
		for i := range p.Recent {
			p.Recent[i] = Recent{r.Int(), time.UnixMilli(r.Int()).UTC(), payment.Cents(r.Int())}
		}
	}
	if n := few(&r); n > 0 {
		p.Frauds = make([]LabelPlace, n)
		for i := range p.Frauds {
			p.Frauds[i] = LabelPlace{int32(r.Int()), r.Int()}
		}
	}
	if !r.Done() {
		return ErrInput
	}
	return nil
}

// few reads a number of at most MaxRecent.
func few(r *varint.Reader) int64 {
	n := r.Int()
	if n < 0 || n > MaxRecent {
		r.Fail()
		return 0
	}
	return n
}
