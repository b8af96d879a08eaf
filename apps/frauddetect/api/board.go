package api

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/stream"
)

// maxCases is how many cases a board holds. The oldest give way: those that are closed first.
const maxCases = 20_000

// Board is the present state of the latest alerts. It is safe for concurrent use.
type Board struct {
	mu struct {
		sync.Mutex
		byID    map[string]desk.Case
		order   []string // oldest first
		changed chan struct{}
	}
}

// NewBoard returns a board that knows nothing yet: see Follow.
func NewBoard() *Board {
	b := &Board{}
	b.mu.byID = make(map[string]desk.Case)
	b.mu.changed = make(chan struct{})
	return b
}

// retryAfter is how long Follow waits before it reads again after an error.
const retryAfter = 500 * time.Millisecond

// Follow reads the topic of cases from its beginning, until ctx ends.
func (b *Board) Follow(ctx context.Context, cluster *stream.Cluster, logger *slog.Logger) {
	for ctx.Err() == nil {
		for r, err := range cluster.Follow(ctx, desk.Cases, math.MaxInt32) {
			if err != nil {
				logger.Error("api: reading of cases failed, trying again", "err", err)
				continue
			}
			b.put(r.Value)
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

func (b *Board) put(c desk.Case) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, known := b.mu.byID[c.ID]
	if known && now.Version >= c.Version {
		return // read again after an error
	}
	b.mu.byID[c.ID] = c
	if !known {
		b.mu.order = append(b.mu.order, c.ID)
		b.makeRoomLocked()
	}
	close(b.mu.changed)
	b.mu.changed = make(chan struct{})
}

// makeRoomLocked forgets a tenth when there are too many, so that it need not look for the next one each time.
func (b *Board) makeRoomLocked() {
	if len(b.mu.order) <= maxCases {
		return
	}
	surplus := maxCases / 10
	forget := func(which func(desk.Case) bool) {
		b.mu.order = slices.DeleteFunc(b.mu.order, func(id string) bool {
			if surplus == 0 || !which(b.mu.byID[id]) {
				return false
			}
			surplus--
			delete(b.mu.byID, id)
			return true
		})
	}
	forget(func(c desk.Case) bool { return c.Status != desk.Open })
	forget(func(desk.Case) bool { return true })
}

// Get returns a case.
func (b *Board) Get(id string) (desk.Case, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, ok := b.mu.byID[id]
	return c, ok
}

// List returns up to limit cases that are wanted, the latest first, from behind the one with the id after on, or from the latest if it is
// empty. more says whether there are others.
func (b *Board) List(wanted func(*desk.Case) bool, after string, limit int) (cases []desk.Case, more bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	start := len(b.mu.order)
	if after != "" {
		start = max(slices.Index(b.mu.order, after), 0)
	}
	for _, id := range slices.Backward(b.mu.order[:start]) {
		c := b.mu.byID[id]
		if !wanted(&c) {
			continue
		}
		if len(cases) == limit {
			return cases, true
		}
		cases = append(cases, c)
	}
	return cases, false
}

// Await returns a case as soon as it is of a version, or the error of ctx.
func (b *Board) Await(ctx context.Context, id string, version int) (desk.Case, error) {
	for {
		b.mu.Lock()
		c, changed := b.mu.byID[id], b.mu.changed
		b.mu.Unlock()
		if c.Version >= version {
			return c, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return desk.Case{}, context.Cause(ctx)
		}
	}
}
