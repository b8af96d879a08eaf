package stream

import (
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// Topology is a checked topology. It is immutable and safe for concurrent use; run it with [Run], or without a
// broker with package streamtest.
type Topology struct {
	program *task.Program
	stores  map[string]state.Definition
}

// Name returns the application's name, as given to [NewBuilder].
func (t *Topology) Name() string { return t.program.Graph.Name }

// String describes the topology as text, one step a line, in the order in which the program names them:
//
//	source payments
//	processor once store=seen <- payments
//	processor once-filter-1 <- once
//	sink payments-large <- once-filter-1
//
// A step that the user did not name is called after its nearest named ancestor, its operator and a counter; such
// names stand in this text and in errors only. Of a Branch the outputs are called .yes and .no. If there are several
// sub-topologies, each begins with a line that says what it reads and keeps:
//
//	sub-topology 1 reads=app-by-shop-repartition stores=totals
//	source by-shop topic=app-by-shop-repartition
//
// Global tables stand in front of everything:
//
//	global shops
//
// Equal topologies have equal texts, so the text makes a golden test: a change that would orphan the changelog of a
// store, or a repartition topic, is one changed line in a review.
func (t *Topology) String() string { return t.program.Graph.String() }

// Program is for the runtime and package streamtest. Its type is internal, and no part of the API.
func (t *Topology) Program() *task.Program { return t.program }
