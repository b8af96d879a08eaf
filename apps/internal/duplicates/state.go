package duplicates

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/internal/varint"
)

// joinKey makes one key of a card and what belongs to it. The length in front keeps them apart.
func joinKey(card, part string) string {
	b := make([]byte, 0, len(card)+len(part)+2)
	b = binary.AppendUvarint(b, uint64(len(card)))
	b = append(b, card...)
	return string(append(b, part...))
}

// first is the first payment of an id, without the id, which is in the key.
type first struct{ payment }

const firstVersion = 1

// AppendBinary writes a version, then amount, time, partition, offset and the record's time as varints, then the terminal.
func (f *first) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, firstVersion)
	b = binary.AppendVarint(b, f.amount)
	b = binary.AppendVarint(b, f.at)
	b = appendPlace(b, f.place)
	return append(b, f.terminal...), nil
}

func (f *first) UnmarshalBinary(b []byte) error {
	r, err := newVarints(b, firstVersion)
	if err != nil {
		return err
	}
	f.amount, f.at, f.place = r.Int(), r.Int(), r.place()
	f.terminal = string(r.Bytes(uint64(len(r.Rest()))))
	return r.whole()
}

// charges are what a card paid at one terminal, in the order in which it was seen.
type charges struct{ list []charge }

type charge struct {
	at, amount int64
	place      Place
}

// forget drops the charges that were made before a time.
func (c *charges) forget(before int64) {
	c.list = slices.DeleteFunc(c.list, func(ch charge) bool { return ch.at < before })
}

// reverse takes the latest charge of an amount back. What was taken back is no reason to suspect the payment that replaces it.
func (c *charges) reverse(amount int64) {
	for i, ch := range slices.Backward(c.list) {
		if ch.amount == amount {
			c.list = slices.Delete(c.list, i, i+1)
			return
		}
	}
}

// find looks for a charge within the window of p: the first one of the same amount, or else the last one of nearly the same.
func (c *charges) find(p payment, window, nearBasisPoints int64) (Place, Verdict) {
	place, verdict := Place{}, Unique
	for _, ch := range c.list {
		apart := max(p.at-ch.at, ch.at-p.at)
		switch {
		case apart > window:
		case ch.amount == p.amount:
			return ch.place, Double
		case nearBasisPoints >= 0 && near(ch.amount, p.amount, nearBasisPoints):
			place, verdict = ch.place, Near
		}
	}
	return place, verdict
}

// near reports whether two amounts, neither of them below zero, differ by at most so many basis points of the larger one.
func near(a, b, basisPoints int64) bool {
	less, more := min(a, b), max(a, b)
	// As quotient and remainder, because a product might overflow: more is at most 2^63 - 1.
	allowed := more/10_000*basisPoints + more%10_000*basisPoints/10_000
	return more-less <= allowed
}

func (c *charges) add(p payment, most int) {
	c.list = append(c.list, charge{p.at, p.amount, p.place})
	if n := len(c.list) - most; n > 0 {
		c.list = c.list[n:]
	}
}

const chargesVersion = 1

// AppendBinary writes a version and the number of charges, then of each time, amount, partition, offset and the
// record's time, all as varints.
func (c *charges) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, chargesVersion)
	b = binary.AppendVarint(b, int64(len(c.list)))
	for _, ch := range c.list {
		b = binary.AppendVarint(b, ch.at)
		b = binary.AppendVarint(b, ch.amount)
		b = appendPlace(b, ch.place)
	}
	return b, nil
}

func (c *charges) UnmarshalBinary(b []byte) error {
	r, err := newVarints(b, chargesVersion)
	if err != nil {
		return err
	}
	n := r.Int()
	if n < 0 || n > int64(len(r.Rest())) {
		return errors.New("duplicates: a stored value that claims more charges than it has bytes")
	}
	c.list = make([]charge, 0, n+1) // and the one that is about to be added
	for range n {
		c.list = append(c.list, charge{r.Int(), r.Int(), r.place()})
	}
	return r.whole()
}

func appendPlace(b []byte, p Place) []byte {
	b = binary.AppendVarint(b, int64(p.Partition))
	b = binary.AppendVarint(b, p.Offset)
	return binary.AppendVarint(b, p.Time.UnixMilli())
}

// varints reads the numbers of a stored value.
type varints struct{ varint.Reader }

func newVarints(b []byte, version byte) (*varints, error) {
	if len(b) == 0 || b[0] != version {
		return nil, fmt.Errorf("duplicates: a stored value that begins with % x, not with version %d", b[:min(len(b), 1)], version)
	}
	return &varints{varint.NewReader(b[1:])}, nil
}

func (r *varints) place() Place {
	return Place{int32(r.Int()), r.Int(), time.UnixMilli(r.Int()).UTC()}
}

// whole returns an error unless everything was read.
func (r *varints) whole() error {
	switch {
	case r.Bad():
		return errors.New("duplicates: a stored value that is cut off")
	case r.More():
		return errors.New("duplicates: a stored value with bytes behind its end")
	}
	return nil
}
