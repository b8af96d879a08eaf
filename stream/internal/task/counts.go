package task

// Dropped is why a step leaves a record out without making it a dead letter.
type Dropped int

const (
	DroppedLate Dropped = iota // it came too late for a window
	DroppedNullKey
	DroppedNullValue
	reasons
)

// Counts are what a task has counted since it began.
type Counts struct {
	// Late, NullKeys and NullValues are records that were left out, once for each step that did.
	Late, NullKeys, NullValues int64
	Punctuations               int64 // timers and closed windows not included
	Panics                     int64
	// Lateness is how far a record lay behind stream time at most, in milliseconds, since Counts was called last.
	Lateness int64
}

// Counts returns what the task has counted.
func (t *Task) Counts() Counts {
	d, c := &t.frame.droppedBefore, t.counts
	c.Late, c.NullKeys, c.NullValues = d[DroppedLate], d[DroppedNullKey], d[DroppedNullValue]
	t.counts.Lateness = 0
	return c
}

// Drop notes that the step leaves the record out.
func (f *Frame) Drop(why Dropped) {
	f.dropped[why]++
	f.drops = true
}

// Late notes that the record came too late for a window.
func (f *Frame) Late() { f.Drop(DroppedLate) }

// countDropped takes over what the record was left out of, once it has taken effect.
func (f *Frame) countDropped() {
	if !f.drops {
		return
	}
	for why, n := range f.dropped {
		f.droppedBefore[why] += n
	}
}
