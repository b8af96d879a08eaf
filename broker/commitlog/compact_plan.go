package commitlog

import (
	"math"
	"time"
)

// planSegment is what the planner knows of a sealed segment.
type planSegment struct {
	base, next, size int64
	maxTimestamp     int64 // -1 if no record has one
	firstTimestamp   int64 // of its first batch, -1 if there is none
}

// cleaning says what to clean.
type cleaning struct {
	due   bool
	from  int64   // offsets below it were cleaned before
	end   int64   // offsets from it on are left alone
	ratio float64 // of the bytes below end that were not cleaned yet
}

// planCleaning decides whether a log is to be cleaned, and up to where. segments are
// the sealed ones, progress is what earlier cleanings left.
//
// It is due when the dirty part is large enough (min.cleanable.dirty.ratio), when a
// dirty record has waited for too long (max.compaction.lag.ms), or when tombstones
// or markers have outlived delete.retention.ms. Kafka does not look at the last one: there a
// tombstone in a log that nobody writes to stays.
func planCleaning(segments []planSegment, progress compaction, spec CompactSpec, now int64) cleaning {
	end := int64(0)
	if len(segments) > 0 {
		end = segments[0].base
	}
	below := spec.Below
	if spec.MinLag > 0 {
		below = min(below, progress.agedOffset(spec.MinLag, now))
	}
	for _, s := range segments {
		if s.next > below || spec.MinLag > 0 && s.maxTimestamp > now-spec.MinLag.Milliseconds() {
			break
		}
		end = s.next
	}
	c := cleaning{from: min(progress.cleaned, end), end: end}
	var clean, dirty int64
	overdue := false
	for _, s := range segments {
		switch {
		case s.next > end:
		case s.next <= c.from:
			clean += s.size
		default:
			dirty += s.size
			overdue = overdue || spec.MaxLag > 0 && s.firstTimestamp >= 0 && now-s.firstTimestamp > spec.MaxLag.Milliseconds()
		}
	}
	if dirty > 0 {
		c.ratio = float64(dirty) / float64(dirty+clean)
	}
	c.due = dirty > 0 && (c.ratio >= spec.MinDirtyRatio || overdue)
	if !c.due && progress.horizon > 0 && now > progress.horizon && clean > 0 {
		c.due, c.end = true, c.from
	}
	return c
}

// groupSegments joins neighbours whose bytes together fit into one segment, so that
// what cleaning leaves of many segments becomes one. It returns the number of
// segments in each group.
func groupSegments(segments []planSegment, maxBytes int64) []int {
	var groups []int
	var base, size int64
	for i, s := range segments {
		if i > 0 && size+s.size <= maxBytes && s.next-1-base <= math.MaxInt32 {
			groups[len(groups)-1]++
			size += s.size
			continue
		}
		groups = append(groups, 1)
		base, size = s.base, s.size
	}
	return groups
}

// compaction is what cleanings leave behind for the next one.
type compaction struct {
	cleaned int64 // offsets below it were cleaned
	horizon int64 // when the first tombstone or marker that stayed may go, ms, or 0

	// Records below aged were there at agedAt and wait for the minimum lag; those
	// below old have waited. It is counted by the clock, because the timestamps of
	// records may be those of old events.
	old, aged, agedAt int64
}

// observe notes that the log ends at end now.
func (c *compaction) observe(end int64, lag time.Duration, now int64) (changed bool) {
	switch {
	case c.agedAt == 0 || now < c.agedAt:
	case now-c.agedAt < lag.Milliseconds():
		return false
	default:
		c.old = max(c.old, c.aged)
	}
	if c.agedAt != 0 && now >= c.agedAt && c.aged == end && c.old == end {
		return false
	}
	c.aged, c.agedAt = end, now
	return true
}

// agedOffset is the offset below which all records have been there for lag.
func (c *compaction) agedOffset(lag time.Duration, now int64) int64 {
	if c.agedAt > 0 && now-c.agedAt >= lag.Milliseconds() {
		return max(c.old, c.aged)
	}
	return c.old
}
