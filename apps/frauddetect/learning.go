package main

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

var (
	// learned is what the models that learn know, by name; unlearned are the payments whose labels may still come, by time.
	learned   = state.NewKeyValueStore("learned", serde.String, serde.Bytes)
	unlearned = state.NewKeyValueStore("unlearned", serde.Bytes, serde.Binary[unlearnedPayment]())
)

// unlearnedFrom is the key in learned of the time before which there are no unlearned payments: it is no name of a model. Without it each look
// for payments to learn would pass all those that were deleted.
const unlearnedFrom = ""

// learnEvery is how often, in event time, models learn that payments without a label were genuine.
const learnEvery = time.Minute

// learners are the models of a task that learn: from a label when it comes, and from silence when none has come.
type learners []scoring.Learner

// restore reads what they know.
func (l learners) restore(c state.Context) error {
	for _, m := range l {
		known, found, err := learned.In(c).Get(m.Name())
		if err == nil && found {
			err = m.UnmarshalBinary(known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// keep writes what they know.
func (l learners) keep(c state.Context) error {
	for _, m := range l {
		known, err := m.AppendBinary(nil)
		if err == nil {
			err = learned.In(c).Put(m.Name(), known)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// remember keeps a payment until it is known what it was.
func (l learners) remember(c state.Context, row *features.Row) error {
	if len(l) == 0 {
		return nil
	}
	key := timeKey(row.Time)
	from, found, err := learned.In(c).Get(unlearnedFrom)
	if err == nil && (!found || bytes.Compare(key, from) < 0) {
		err = learned.In(c).Put(unlearnedFrom, key)
	}
	if err != nil {
		return err
	}
	return unlearned.In(c).Put(unlearnedKey(row.Transaction), unlearnedPayment{Row: *row})
}

// label has them learn what a payment was, and reports whether they have: they have not if they know it already, or if the label is ahead of
// its own time. Then they will learn it with the other payments of that.
func (l learners) label(c state.Context, label *desk.Label) (bool, error) {
	if len(l) == 0 {
		return false, nil
	}
	store, key := unlearned.In(c), unlearnedKey(label.Transaction)
	p, found, err := store.Get(key)
	switch {
	case err != nil || !found:
		return false, err
	case label.Known.After(c.StreamTime()):
		p.fraud = !label.Genuine
		return false, store.Put(key, p)
	}
	l.learn(&p.Row, !label.Genuine)
	return true, store.Delete(key)
}

// silence has them learn the payments whose labels must have come, and reports whether there were any: those of which nobody has said otherwise
// were genuine.
func (l learners) silence(c state.Context, at time.Time) (any bool, err error) {
	delay := time.Duration(0)
	for _, m := range l {
		delay = max(delay, m.Delay())
	}
	if delay == 0 {
		return false, nil
	}
	until := timeKey(at.Add(-delay))
	from, found, err := learned.In(c).Get(unlearnedFrom)
	if err != nil || !found || bytes.Compare(from, until) >= 0 {
		return false, err
	}
	store := unlearned.In(c)
	for e, err := range store.Range(from, until) {
		if err != nil {
			return any, err
		}
		l.learn(&e.Value.Row, e.Value.fraud)
		if err := store.Delete(e.Key); err != nil {
			return any, err
		}
		any = true
	}
	return any, learned.In(c).Put(unlearnedFrom, until)
}

func (l learners) learn(row *features.Row, fraud bool) {
	v := row.Vector()
	for _, m := range l {
		m.Learn(&v, fraud)
	}
}

// unlearnedPayment is a payment that the models have not learned yet.
type unlearnedPayment struct {
	features.Row
	fraud bool // a label says so
}

// AppendBinary appends the row and a byte. It implements encoding.BinaryAppender.
func (p *unlearnedPayment) AppendBinary(b []byte) ([]byte, error) {
	fraud := byte(0)
	if p.fraud {
		fraud = 1
	}
	b, err := p.Row.AppendBinary(b)
	return append(b, fraud), err
}

// UnmarshalBinary reads what AppendBinary wrote.
func (p *unlearnedPayment) UnmarshalBinary(b []byte) error {
	r := varint.NewReader(b)
	p.Read(&r)
	fraud := r.Bytes(1)
	if !r.Done() {
		return features.ErrRow
	}
	p.fraud = fraud[0] != 0
	return nil
}

// unlearnedKey sorts payments by time, and tells those of one time apart.
func unlearnedKey(t payment.Transaction) []byte {
	b := binary.BigEndian.AppendUint64(timeKey(t.Time), uint64(t.ID))
	return append(b, t.Card...)
}
