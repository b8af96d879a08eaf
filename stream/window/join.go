package window

import (
	"errors"
	"fmt"
	"time"
)

// Join says how far apart in event time two records may lie to be joined: the right one at most Before earlier than the
// left one, and at most After later.
type Join struct {
	// Before, After and Lateness are in milliseconds; Lateness is the grace.
	Before, After, Lateness int64
	// Err is what is wrong with the definition.
	Err error
}

// Within joins records that are at most d apart.
func Within(d time.Duration) Graceless[Join] { return Between(d, d) }

// Between joins records of which the right one is at most before earlier than the left one, and at most after later.
// One of them may be negative: Between(-time.Second, time.Minute) joins what comes a second to a minute later.
func Between(before, after time.Duration) Graceless[Join] {
	return Graceless[Join]{func(grace time.Duration) Join {
		j := Join{Before: before.Milliseconds(), After: after.Milliseconds(), Lateness: grace.Milliseconds(), Err: graceErr(grace)}
		if before+after < 0 {
			j.Err = errors.Join(j.Err, fmt.Errorf("records from %v before to %v after are joined: that is no time at all", before, after))
		}
		return j
	}}
}

// LeftReach is for how long, in milliseconds after its own time, a left record can be joined by one that comes in
// order. RightReach is the same for a right record.
func (j Join) LeftReach() int64  { return max(j.After, 0) }
func (j Join) RightReach() int64 { return max(j.Before, 0) }

// Keep is for how long after its own time, in milliseconds, a record can be joined at all: by one that is as late as the
// grace allows.
func (j Join) Keep() int64 { return j.LeftReach() + j.RightReach() + j.Lateness }

// String describes the window, such as between(1m0s, 5m0s).grace(30s).
func (j Join) String() string {
	return fmt.Sprintf("between(%v, %v).grace(%v)", millis(j.Before), millis(j.After), millis(j.Lateness))
}
