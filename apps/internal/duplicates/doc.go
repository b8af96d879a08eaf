// Package duplicates finds card payments that come twice.
//
// There are two ways to come twice. A payment is sent again, under its own id: by a client that retries, or a producer that starts
// anew behind what it had sent ([Exact], or [Conflict] if the content has changed). Or it is made again, under a new id, on the same
// card at the same terminal for the same amount or nearly so, within minutes ([Double], [Near]): that may be a second payment, so it is
// a suspicion.
//
// A [Detector] is one step of a topology on a stream keyed by card: everything that is compared belongs to one card, and its
// payments are seen in order. The dedup app runs it alone; another topology may have it in front of its own steps.
//
// It is built on the public API of package stream and has no goroutines of its own.
package duplicates
