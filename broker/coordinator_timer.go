package broker

import (
	"container/heap"
	"time"

	"github.com/riffle-stream/riffle/broker/group"
)

// notScheduled is the position of a timer that is not in the heap.
const notScheduled = -1

// groupTimer says when a group wants to hear of the time. It may be early, because
// sessions that are extended do not move it, but never late.
type groupTimer struct {
	g    *coordinated
	when time.Time
	at   int // position in the heap, or notScheduled
}

// timerHeap is a heap of timers, the next one first.
type timerHeap []*groupTimer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].when.Before(h[j].when) }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	t := x.(*groupTimer)
	t.at = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	old := *h
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	t.at = notScheduled
	return t
}

// schedule makes sure that the group hears of its next deadline. The caller holds
// the group's lock.
func (co *coordinator) schedule(g *coordinated) {
	when := g.deadline()
	if when.IsZero() {
		return
	}
	co.mu.Lock()
	defer co.mu.Unlock()
	t := &g.timer
	switch {
	case t.at == notScheduled:
		t.when = when
		heap.Push(&co.mu.timers, t)
	case when.Before(t.when):
		t.when = when
		heap.Fix(&co.mu.timers, t.at)
	}
	if t.at == 0 {
		select {
		case co.wake <- struct{}{}:
		default:
		}
	}
}

// unschedule forgets a timer. The caller holds co.mu.
func (co *coordinator) unschedule(t *groupTimer) {
	if t.at != notScheduled {
		heap.Remove(&co.mu.timers, t.at)
	}
}

// runTimers ticks groups at their deadlines until the coordinator stops.
func (co *coordinator) runTimers() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-co.ctx.Done():
			return
		case <-co.wake:
		case <-timer.C:
		}
		wait, any := co.tickDue()
		if any {
			timer.Reset(wait)
		} else {
			timer.Stop()
		}
	}
}

// tickDue ticks the groups that are due and returns how long it is to the next, if
// there is one.
func (co *coordinator) tickDue() (wait time.Duration, any bool) {
	for co.ctx.Err() == nil {
		now := time.Now()
		co.mu.Lock()
		if len(co.mu.timers) == 0 {
			co.mu.Unlock()
			return 0, false
		}
		next := co.mu.timers[0]
		if wait := next.when.Sub(now); wait > 0 {
			co.mu.Unlock()
			return wait, true
		}
		heap.Pop(&co.mu.timers)
		co.mu.Unlock()
		co.tick(next.g, now)
	}
	return 0, false
}

func (co *coordinator) tick(g *coordinated, now time.Time) {
	g.mu.Lock()
	if g.mu.gone {
		g.mu.Unlock()
		return
	}
	var expired []group.Expired
	var eff group.Effects
	if g.mu.consumer != nil {
		expired = co.tickConsumers(g, now)
	} else {
		expired, eff = g.mu.Tick(now)
	}
	co.metrics.removed.Add(float64(len(expired)))
	for _, e := range expired {
		co.logger.Info("broker: member removed from its group", "group", g.mu.ID(), "member", e.MemberID,
			"instance", e.InstanceID, "reason", e.Reason)
	}
	// Time alone never makes a group wait for the disk, so nothing is pending: the
	// record of a group that became empty gets there with the next flush.
	co.perform(g, eff)
	co.unlock(g)
}
