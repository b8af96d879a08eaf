package task

import "time"

// StoreObserver is told of what the nodes of a task do with one store. It is called by the goroutine that runs the task.
type StoreObserver interface {
	// Now is the clock by which operations are timed.
	Now() time.Time
	// Took tells how long an operation took: get, put, delete or range. It is called for one in SampledOps of each, for the
	// first one too, so that the others cost nothing.
	Took(op string, took time.Duration)
	// Ranges tells how many ranges are open.
	Ranges(open int)
}

// SampledOps is of how many operations one is timed.
const SampledOps = 64

// storeOp is an operation of a store.
type storeOp int

const (
	opGet storeOp = iota
	opPut
	opDelete
	opRange // from its beginning to its end, with what the node does with the entries
	storeOps
)

var opNames = [storeOps]string{"get", "put", "delete", "range"}

// observed is what of a store's operations its observer is told.
type observed struct {
	by     StoreObserver // nil if nobody asks
	passed [storeOps]uint
	ranges int // that are open
}

// due counts an operation, and reports whether it is to be timed. Most are not: it must be inlined.
func (o *observed) due(op storeOp) bool {
	n := o.passed[op]
	o.passed[op] = n + 1
	return n%SampledOps == 0
}

// begin returns when an operation that is due begins; zero if nobody asks.
func (o *observed) begin() time.Time {
	if o.by == nil {
		return time.Time{}
	}
	return o.by.Now()
}

// end tells how long an operation took that begin has returned the beginning of.
func (o *observed) end(op storeOp, began time.Time) {
	if !began.IsZero() {
		o.by.Took(opNames[op], o.by.Now().Sub(began))
	}
}

// open notes that ranges begin or end.
func (o *observed) open(ranges int) {
	if o.by != nil {
		o.ranges += ranges
		o.by.Ranges(o.ranges)
	}
}
