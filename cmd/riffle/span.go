package main

import (
	"math"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/cmd/riffle/offsets"
)

// bounds are what a partition held when the command began.
type bounds struct {
	start, end int64 // offsets [start, end)
	// fromTime and toTime are the first offsets that may hold a record at or after the times of the range; end if there
	// is none, and not looked up if the range has no times.
	fromTime, toTime int64
}

// forEver is the end of a span that has none.
const forEver = math.MaxInt64

// span is what is to be read of one partition: the records of [from, to) that are not left out by time.
type span struct {
	from, to int64
	// fetch is the offset to begin to fetch at, at most from and the end of the partition.
	fetch int64
	// since, if not 0, leaves out the first records before that time, in milliseconds since 1970. Brokers find a time by
	// batches: the record they name may be earlier, and the one that is meant is behind it.
	since int64
	// until, if not 0, ends the span at the first record at or after that time from untilFrom on.
	until, untilFrom int64
}

// resolve turns a range into what it means for a partition. +N counts from the start, and -N from the end; behind a
// colon +N counts from where the range begins. With exit the span ends where the partition does.
func resolve(r offsets.Range, b bounds, exit bool) span {
	s := span{to: forEver}
	switch p := r.From; p.Kind {
	case offsets.Start:
		s.from = b.start + p.Value
	case offsets.End:
		s.from = b.end + p.Value
	case offsets.Exact:
		s.from = p.Value
	case offsets.Time:
		s.from, s.since = b.fromTime, p.Value
	case offsets.Relative:
		if s.from = b.start + p.Value; p.Value < 0 {
			s.from = b.end + p.Value
		}
	}
	if r.Bounded {
		switch p := r.To; p.Kind {
		case offsets.Start:
			s.to = b.start + p.Value
		case offsets.End:
			s.to = b.end + p.Value
		case offsets.Exact:
			s.to = p.Value
		case offsets.Time:
			s.to, s.until, s.untilFrom = b.end, p.Value, b.toTime
		case offsets.Relative:
			if s.to = s.from + p.Value; p.Value < 0 {
				s.to = b.end + p.Value
			}
		}
	}
	if exit {
		s.to = min(s.to, b.end)
	}
	s.from = max(s.from, b.start)
	return s
}

// empty reports whether the span holds no offset.
func (s span) empty() bool { return s.from >= s.to }

// take reports whether a record belongs to the span, and whether the span ends with it or before it. Records must come
// in the order of their offsets.
func (s *span) take(r *kgo.Record) (belongs, done bool) {
	if r.Offset >= s.to {
		return false, true
	}
	at := r.Timestamp.UnixMilli()
	if s.until != 0 && r.Offset >= s.untilFrom && at >= s.until {
		return false, true
	}
	done = r.Offset+1 >= s.to
	switch {
	case r.Offset < s.from, r.Attrs.IsControl():
		return false, done
	case s.since != 0 && at < s.since:
		return false, done
	}
	s.since = 0 // the range has begun
	return true, done
}

// groupStart is where a group begins that has committed no offset, or false where the range asks for what a group
// cannot do: an end, or an offset, which would be another record in each partition.
func groupStart(r offsets.Range) (kgo.Offset, bool) {
	p := r.From
	switch {
	case r.Bounded:
	case p.Kind == offsets.Start:
		return kgo.NewOffset().AtStart().Relative(p.Value), true
	case p.Kind == offsets.End:
		return kgo.NewOffset().AtEnd().Relative(p.Value), true
	case p.Kind == offsets.Relative && p.Value >= 0:
		return kgo.NewOffset().AtStart().Relative(p.Value), true
	case p.Kind == offsets.Relative:
		return kgo.NewOffset().AtEnd().Relative(p.Value), true
	case p.Kind == offsets.Time:
		return kgo.NewOffset().AfterMilli(p.Value), true
	}
	return kgo.Offset{}, false
}
