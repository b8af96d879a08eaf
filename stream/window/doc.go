// Package window says which windows of event time a record belongs to, and until when it may come.
//
//	window.Tumbling(time.Minute).Grace(10 * time.Second)
//	window.Hopping(5*time.Minute, time.Minute).Grace(0)
//	window.Sliding(time.Hour, 24*time.Hour).Grace(time.Minute)
//	window.Session(30 * time.Minute).Grace(time.Minute)
//	window.Unlimited()
//
// Concepts:
//
//   - A [Window] is a half-open interval of event time, as a value. A [Key] is a key in a window: what windowed results
//     are keyed by.
//   - Tumbling and hopping windows ([Time]) lie side by side or overlap at fixed times, counted from 1970 in UTC. A
//     sliding window ([Moving]) ends with each record and reaches back a width. A session ([Sessions]) holds records of a key
//     that follow each other within a gap.
//   - The grace is how long a window waits for late records once stream time has passed its end. There is no default:
//     a window without one cannot be used, and what comes later is late. A window is closed when stream time has reached
//     its end plus the grace (for a session, plus the gap too): before the record that brings it there.
//
// The package is pure: times go in, windows come out. Times have the resolution of a record's, a millisecond. What is
// wrong with a definition is kept in it (Err), and reported when the topology is built.
package window
