// Package calls makes slow calls for one step of a task: a limited number at a time, in order per key, with a timeout
// and further attempts.
//
// A Pool starts calls in the order in which they are given to it. A call whose key has one under way, or waiting, waits
// for that one; it takes a place as soon as both a place and its key are free, and those that were given first go first. An
// attempt that fails is followed by another one after a pause that doubles, up to a limit; the call keeps its place
// and its key meanwhile, so a service that is down is not called more often than the limits say.
//
// A call is over when its function returns. A function that does not return when its context ends keeps its place.
//
// A Pool may be used concurrently. It starts goroutines, never more than calls may be made at a time, and none while there is
// nothing to call. What a call returned, and where results go on, is the business of the caller.
package calls
