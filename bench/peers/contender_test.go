package peers

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/stream"
)

// contender does a workload. Between start and stop it processes what waits for it.
type contender interface {
	// prepare makes n more records wait than have been done.
	prepare(b *testing.B, n int)
	start(b *testing.B)
	// done is the number of records that are committed since the input began, in this run and in those before.
	done(b *testing.B) int64
	// failed returns what ended the contender before stop.
	failed() error
	stop(b *testing.B)
}

// commitInterval is how often each contender commits while there is something to do.
const commitInterval = 100 * time.Millisecond

// newContender returns the contender that the name of a benchmark calls engine.
func newContender(p *plant, engine string) contender {
	switch engine {
	case "riffle":
		return newRiffle(p, stream.ExactlyOnce)
	case "riffle-alo":
		return newRiffle(p, stream.AtLeastOnce)
	case "kgo":
		return &kgoTransactions{kgoLoop: kgoLoop{onTopics: onTopics{p, engine}, steps: p.plain}}
	case "kgo-alo":
		return &kgoOffsets{kgoLoop{onTopics: onTopics{p, engine}, steps: p.plain}}
	case "kgo-badger":
		return newKgoBadger(p, engine)
	case "goka", "goka-count":
		return &gokaShaped{onTopics: onTopics{p, engine}}
	case "jetstream":
		return &jetStream{plant: p}
	}
	panic("no contender is called " + engine)
}

// share is how many times fewer records a contender is given: the slow ones would take minutes.
func share(engine string) int {
	switch engine {
	case "goka", "goka-count", "jetstream", "kgo-badger":
		return 8
	}
	return 1
}

// onTopics is what contenders have in common that read the topics of the plant as a group.
type onTopics struct {
	*plant
	group string
}

func (t onTopics) prepare(b *testing.B, n int) { t.ensure(b, int(t.done(b))+n) }

func (t onTopics) done(b *testing.B) int64 { return t.committed(b, t.group) }

// patience is how long a contender may go without a commit, or take for a run.
const patience = time.Minute

// await waits until n records are done, and returns how many are.
func await(b *testing.B, c contender, n int64) int64 {
	b.Helper()
	return awaitEvery(b, c, n, 5*time.Millisecond)
}

// awaitEvery is await that looks at intervals.
func awaitEvery(b *testing.B, c contender, n int64, interval time.Duration) int64 {
	b.Helper()
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for last, since := int64(-1), time.Now(); ; <-tick.C {
		done := c.done(b)
		if done >= n {
			return done
		}
		if done != last {
			last, since = done, time.Now()
		}
		err := c.failed()
		if time.Since(since) > patience {
			err = errors.Join(err, fmt.Errorf("%d of %d records are done, and no more for %v", done, n, patience))
		}
		check(b, err)
	}
}

// measure lets a contender take n records.
func measure(b *testing.B, c contender, n int) {
	b.Helper()
	c.prepare(b, n)
	begun := c.done(b)
	settle(b)
	c.start(b)
	// It has the process to itself: the stacks of all say where it hangs.
	stuck := time.AfterFunc(patience, func() { panic(fmt.Sprintf("%s takes more than %v for %d records", b.Name(), patience, n)) })
	defer stuck.Stop()
	first := await(b, c, begun+int64(n)/10)
	stop := profile(b)
	from := read(b)
	last := await(b, c, begun+int64(n))
	report(b, from, read(b), last-first)
	stop()
	c.stop(b)
}
