package generator

import (
	"cmp"
	"container/heap"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// Class is what an arrival really is.
type Class string

const (
	Base        Class = "base"     // a payment that comes for the first time
	Retry       Class = "retry"    // it is sent again after seconds: same id, same content
	Replay      Class = "replay"   // a producer starts again and sends 2,000 payments once more, hours later
	Conflicting Class = "conflict" // the same id with another amount
	Double      Class = "double"   // charged twice: another id, within a minute or so
	Near        Class = "near"     // the same, by an amount that differs by at most 1 %
	Legit       Class = "legit"    // a second coffee: the same amount again, after an hour or so
	Reversal    Class = "reversal" // the charge is taken back: the same amount below zero
	Recharge    Class = "recharge" // and made again
)

// The shares of payments that something happens to, and what is known of real streams: Segment sees 0.6 % retries, the Capital
// One challenge has 1.7 % multi-swipes.
const (
	retryShare    = 0.006
	conflictShare = 0.00015
	doubleShare   = 0.010
	nearShare     = 0.0009
	legitShare    = 0.0047
	reversalShare = 0.0011
	rechargeShare = 0.5 // of the reversals
	replayBlock   = 2000
	// lateMedian and lateMost say how long a payment is on its way.
	lateMedian = 200 * time.Millisecond
	lateMost   = time.Minute
)

// Arrival is a payment as it arrives.
type Arrival struct {
	payment.Transaction
	// Arrived is when it arrived: after Time, and not in its order.
	Arrived time.Time
	Class   Class
	// Original is the id of the payment that it repeats; its own, if it repeats none.
	Original int64
}

// Arrivals gives the payments of a generator in the order in which they arrive, some of them twice. Their ids are those of the generator,
// times 10; payments made again have an id of their own between two of these.
type Arrivals struct {
	source *Generator
	random *rand.Rand
	queue  arrivalQueue
	number int // of arrivals made, which breaks ties
	ahead  time.Time

	// The block that is sent again: today's first payments.
	day   int
	block []Arrival
}

// NewArrivals returns the arrivals of a generator, which belongs to it from then on.
func NewArrivals(g *Generator) *Arrivals {
	return &Arrivals{source: g, random: newRandom(g.cfg.Seed, streamArrivals, 0), day: -1}
}

// Next returns the next arrival. There is always one. Those of a payment that is not due yet have to wait, so it reads the generator ahead
// by the longest time that a payment is on its way.
func (a *Arrivals) Next() Arrival {
	for len(a.queue) == 0 || !a.queue[0].Arrived.Before(a.ahead) {
		a.read()
	}
	return heap.Pop(&a.queue).(queued).Arrival
}

// read takes a payment from the generator, and makes what comes of it.
func (a *Arrivals) read() {
	t := a.source.Next()
	t.ID *= 10
	a.ahead = t.Time
	first := Arrival{Transaction: t, Arrived: t.Time.Add(a.late()), Class: Base, Original: t.ID}
	a.push(first)
	a.replay(first)
	switch draw := a.random.Float64(); {
	case draw < retryShare:
		a.again(first, Retry, a.logNormal(5*time.Second, 2))
	case draw < retryShare+conflictShare:
		again := first
		again.Amount += payment.Cents(1+a.random.Int64N(500)) * payment.Cents(profiles[a.source.cfg.Profile].least)
		a.again(again, Conflicting, a.logNormal(20*time.Second, 1))
	case draw < retryShare+conflictShare+doubleShare:
		a.made(first, Double, 1, first.Amount, a.logNormal(20*time.Second, 1))
	case draw < retryShare+conflictShare+doubleShare+nearShare:
		a.made(first, Near, 1, max(1, first.Amount-payment.Cents(a.random.Int64N(int64(first.Amount)/100+1))), a.logNormal(20*time.Second, 1))
	case draw < retryShare+conflictShare+doubleShare+nearShare+legitShare:
		a.made(first, Legit, 1, first.Amount, a.logNormal(time.Hour, 1.5))
	case draw < retryShare+conflictShare+doubleShare+nearShare+legitShare+reversalShare:
		after := a.logNormal(10*time.Minute, 1)
		a.made(first, Reversal, 1, -first.Amount, after)
		if a.random.Float64() < rechargeShare {
			a.made(first, Recharge, 2, first.Amount, after+time.Duration(5+a.random.IntN(56))*time.Second)
		}
	}
}

// replay sends today's first payments again, some hours after the last one of them.
func (a *Arrivals) replay(first Arrival) {
	if day := int(first.Time.Sub(a.source.cfg.Start) / (24 * time.Hour)); day != a.day {
		a.day, a.block = day, nil
	}
	if len(a.block) == replayBlock {
		return
	}
	if a.block = append(a.block, first); len(a.block) < replayBlock {
		return
	}
	slices.SortStableFunc(a.block, func(x, y Arrival) int { return x.Arrived.Compare(y.Arrived) })
	at := a.block[replayBlock-1].Arrived.Add(time.Duration(1+a.random.IntN(240)) * time.Minute)
	for i, again := range a.block {
		again.Class, again.Arrived = Replay, at.Add(time.Duration(i)*2*time.Millisecond)
		a.push(again)
	}
}

// again sends a payment again.
func (a *Arrivals) again(of Arrival, class Class, after time.Duration) {
	of.Class, of.Arrived = class, of.Arrived.Add(after)
	a.push(of)
}

// made makes another payment like an earlier one.
func (a *Arrivals) made(of Arrival, class Class, number int64, amount payment.Cents, after time.Duration) {
	of.Class, of.ID, of.Amount = class, of.ID+number, amount
	of.Time = of.Time.Add(after.Round(time.Second))
	of.Arrived = of.Time.Add(a.late())
	a.push(of)
}

func (a *Arrivals) late() time.Duration { return min(a.logNormal(lateMedian, 1), lateMost) }

// logNormal draws a duration of at least a millisecond and at most a day.
func (a *Arrivals) logNormal(median time.Duration, sigma float64) time.Duration {
	d := time.Duration(float64(median) * math.Exp(a.random.NormFloat64()*sigma)).Round(time.Millisecond)
	return min(max(d, time.Millisecond), 24*time.Hour)
}

func (a *Arrivals) push(arrival Arrival) {
	a.number++
	heap.Push(&a.queue, queued{arrival, a.number})
}

// queued is an arrival with its place among those of one time.
type queued struct {
	Arrival
	number int
}

// arrivalQueue is a heap of arrivals by time.
type arrivalQueue []queued

func (q arrivalQueue) Len() int { return len(q) }
func (q arrivalQueue) Less(i, j int) bool {
	return cmp.Or(q[i].Arrived.Compare(q[j].Arrived), cmp.Compare(q[i].number, q[j].number)) < 0
}
func (q arrivalQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *arrivalQueue) Push(v any)   { *q = append(*q, v.(queued)) }
func (q *arrivalQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
