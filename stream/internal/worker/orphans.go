package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// orphansEvery is how often a worker looks for partitions that nobody has; while it finds some, less and less often.
const orphansEvery = 5 * time.Second

// orphans asks for a rebalance where partitions have no owner. A cooperative rebalance takes them from one member before the
// next one gives them to another, and the first member begins that next one. If it dies in between and comes back as a
// static member, the group takes it for the old one, and nobody begins.
type orphans struct {
	logger *slog.Logger
	next   time.Time
	wait   time.Duration
}

// step is called after each round. counts are the numbers of partitions of the inputs.
func (o *orphans) step(ctx context.Context, cl *client.Client, counts map[string]int32) {
	now := time.Now()
	if o.next.IsZero() {
		o.next, o.wait = now.Add(orphansEvery), orphansEvery
	}
	if now.Before(o.next) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, watchTimeout)
	defer cancel()
	mine, err := cl.Orphans(ctx, counts)
	switch {
	case err != nil:
		// A cluster that cannot be reached is the business of others.
	case mine:
		o.logger.Info("partitions have no owner, asking the group for a rebalance")
		cl.Rebalance()
		// An instance of another version may not know all inputs, and then they stay without an owner.
		o.wait *= 2
	default:
		o.wait = orphansEvery
	}
	o.next = time.Now().Add(o.wait)
}
