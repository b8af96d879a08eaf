// Package task runs one sub-topology on one partition of its inputs.
//
// It is pure: records are added, Run takes them one after the other, and what comes out goes to an Output. It
// reads no clock, starts no goroutine and does no I/O of its own, so equal inputs give equal outputs, however they
// are cut into batches and calls of Run.
//
// Concepts:
//
//   - A Source is the typed end of an input: it decodes a record and sends it through the user's functions, by
//     function calls only. Package stream makes the sources; task sees bytes.
//   - The Frame is what these functions see of the task while a record passes: time, stores, the output buffer.
//   - A record is all or nothing. Its outputs and its store writes are held back until it has passed all nodes. If
//     one of them fails, they are dropped, and the record becomes a dead letter with its cause.
//   - A Policy decides what becomes of a record that failed, and how often it is tried. Parked keys wait for the dead
//     letter of theirs that was not put back yet.
//   - Ahead begins the slow calls of queued records before their turn; a record is processed once its own are over.
//   - Stream time is the largest event time seen.
//
// Order: of the records it holds the task takes the one with the lowest event time next; ties go by the order in
// which the topology names its inputs, then by offset. If an input holds nothing although its end is not reached,
// the others wait for it, for MaxWait at most.
//
// Between records: before the next record is processed, everything happens that its nodes have scheduled for its event
// time or before, one step at a time and all or nothing like a record, in the order of time. Each step moves stream
// time. So where the task stands is always offsets, stores and stream time, and a restart between two steps goes on
// with the next one.
//
// The wall clock comes with each Run, and decides nothing about records. What follows it is asked for: punctuations, and
// stream time that goes on while no records come (Config.IdleClose), which is noted so that it can be repeated.
//
// Two kinds of failure are kept apart. What depends on the record (it does not decode, a user function returns an
// error or panics, an output does not encode or is too large) makes a dead letter. What does not (a store fails,
// the output cannot be written, a node asks for a store it did not name) stops the task: Run returns an Error, and
// the record was not processed.
//
// A Task belongs to one goroutine at a time.
package task
