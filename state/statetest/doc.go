// Package statetest is the conformance suite of state backends: what every
// implementation of [state.Backend] must do, as tests that its own package runs.
//
// [Run] covers the behaviour while a backend is open, [RunDurable] also what must
// still be there after it was closed and opened again. What a backend does with
// damaged files is its own affair and tested beside it.
package statetest
