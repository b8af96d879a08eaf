package main

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// order makes features depend on the times of payments and labels alone, and neither on the order in which they arrive nor on how
// far the tasks of different partitions are apart. It costs latency: a payment waits until everything before it must have come.
type order struct {
	// lateness is how far payments and labels may arrive out of order. 0 takes them as they come.
	lateness time.Duration
	// partitions is the number of partitions of the transactions. Each has to go on, by payments or by ticks.
	partitions int
}

func (o order) validate() error {
	if o.lateness < 0 || o.lateness > cardLateness || o.lateness%time.Millisecond != 0 {
		return fmt.Errorf("the allowed lateness is %v: want 0 to %v, in milliseconds", o.lateness, cardLateness)
	}
	return nil
}

var (
	waiting     = state.NewKeyValueStore("waiting", serde.Bytes, serde.Binary[visit]())
	waitingTill = state.NewTimers("waiting-till", serde.Bytes)

	// aligning holds visits of a terminal under their time and rank; reached has one entry, how far each partition of cards
	// has come.
	aligning = state.NewKeyValueStore("aligning", serde.Bytes, serde.Binary[visit]())
	reached  = state.NewKeyValueStore("reached", serde.String, serde.Binary[frontier]())
)

// allCards is the key of the one entry of reached.
const allCards = "cards"

// rank orders what has the same time: labels before payments, then by id and card.
func (v visit) rank(b []byte) []byte {
	kind, t := byte(2), v.Payment
	if v.Label != nil {
		if kind = 0; v.Label.Genuine {
			kind = 1
		}
		b = binary.BigEndian.AppendUint64(append(b, kind), uint64(v.Label.Transaction.ID)^1<<63)
		return append(b, v.Label.Transaction.Card...)
	}
	b = binary.BigEndian.AppendUint64(append(b, kind), uint64(t.ID)^1<<63)
	return append(b, t.Card...)
}

// byTime holds everything back until stream time is ahead of it by the lateness, and passes it on in the order of time. What
// comes later than that is a dead letter, unless it is a label: that counts from then on.
func (o order) byTime(visits stream.Stream[string, visit]) stream.Stream[string, visit] {
	hold := func(c *stream.Context[string, visit], r stream.Record[string, visit]) error {
		due := r.Time.Add(o.lateness)
		if now := c.StreamTime(); !due.After(now) {
			l := r.Value.Label
			if l == nil {
				return late(r.Time, now)
			}
			at := now.Add(-o.lateness)
			if own := l.Transaction.Time; own.After(at) {
				at = own // it has overtaken its payment
			}
			return c.ForwardRecord(stream.Record[string, visit]{Key: r.Key, Value: r.Value, Time: at})
		}
		rank := r.Value.rank(nil)
		if err := waiting.In(c).Put(rank, r.Value); err != nil {
			return err
		}
		return waitingTill.In(c).Set(rank, due)
	}
	release := func(c *stream.Context[string, visit], t state.Timer[[]byte]) error {
		store := waiting.In(c)
		v, found, err := store.Get(t.Key)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("frauddetect: nothing waits for the timer of %v", t.Time)
		}
		if err := store.Delete(t.Key); err != nil {
			return err
		}
		return c.ForwardRecord(stream.Record[string, visit]{Key: cardOf(v.Input), Value: v, Time: t.Time.Add(-o.lateness)})
	}
	keys := desk.PartitionKeys(o.partitions)
	tick := func(c *stream.Context[string, visit], at time.Time) error {
		for _, key := range keys {
			v := visit{Tick: true, From: c.Partition(), To: key}
			if err := c.ForwardRecord(stream.Record[string, visit]{Key: key, Value: v, Time: at.Add(-o.lateness)}); err != nil {
				return err
			}
		}
		return nil
	}
	return visits.ProcessWith("by-time", stream.OnRecord(hold).OnTimer(waitingTill, release).Punctuate(o.lateness, tick), waiting)
}

// align merges the visits of all partitions of cards in the order of time. They come from each in that order; so what is older
// than the last one of each can go on.
func (o order) align(visits stream.Stream[string, visit]) stream.Stream[string, visit] {
	step := func(c *stream.Context[string, visit], r stream.Record[string, visit]) error {
		store, all := aligning.In(c), reached.In(c)
		p, _, err := all.Get(allCards)
		if err != nil {
			return err
		}
		p = append(p, make(frontier, max(0, o.partitions-len(p)))...)
		from := r.Value.from()
		if int(from) >= len(p) {
			return fmt.Errorf("frauddetect: a payment of partition %d of %d: the topology was built for fewer partitions than the topic has", from, len(p))
		}
		before := slices.Min(p)
		if !r.Value.Tick {
			if err := store.Put(r.Value.rank(timeKey(r.Time)), r.Value); err != nil {
				return err
			}
		}
		if r.Value.Label == nil { // labels may be ahead of the payments of their partition
			p[from] = max(p[from], r.Time.UnixMilli())
		}
		if err := all.Put(allCards, p); err != nil {
			return err
		}
		if now := slices.Min(p); now > before {
			return o.pass(c, store, time.UnixMilli(before), time.UnixMilli(now))
		}
		return nil
	}
	return visits.Process("align", step, aligning, reached).
		Rekey("aligned", serde.String, serde.Binary[visit](), func(terminal string, _ visit) string { return terminal })
}

// pass sends what waits from one time to another on.
func (o order) pass(c *stream.Context[string, visit], store state.KeyValue[[]byte, visit], from, to time.Time) error {
	for e, err := range store.Range(timeKey(from), timeKey(to)) {
		if err != nil {
			return err
		}
		if err := store.Delete(e.Key); err != nil {
			return err
		}
		at := time.UnixMilli(int64(binary.BigEndian.Uint64(e.Key))).UTC()
		if err := c.ForwardRecord(stream.Record[string, visit]{Key: e.Value.terminal(), Value: e.Value, Time: at}); err != nil {
			return err
		}
	}
	return nil
}

// timeKey sorts by time.
func timeKey(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.UnixMilli())) }

// frontier is how far each partition of cards has come, in milliseconds.
type frontier []int64

// AppendBinary appends varints. It implements encoding.BinaryAppender.
func (p *frontier) AppendBinary(b []byte) ([]byte, error) {
	for _, t := range *p {
		b = binary.AppendVarint(b, t)
	}
	return b, nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (p *frontier) UnmarshalBinary(b []byte) error {
	*p = nil
	for len(b) > 0 {
		t, n := binary.Varint(b)
		if n <= 0 {
			return desk.ErrInput
		}
		*p, b = append(*p, t), b[n:]
	}
	return nil
}
