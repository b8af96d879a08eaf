// Package processors holds ready-made stateful processors. Each is a function to give to
// [github.com/riffle-stream/riffle/stream.Stream.Process], together with the store it keeps its state in, and is
// written on the public API only: a processor of your own has the same standing, and these are good places to start
// from.
//
//	seen := processors.NewDedupStore("seen", serde.String).TTL(24 * time.Hour)
//
//	b.From(Payments).Process("once", processors.Dedup(Payment.ID, seen), seen).To(UniquePayments)
//
// Processors work per key, in the order of the log, and by event time, so a replay gives the same results. They may
// be called by many tasks at once: what they remember is in the store.
//
// What it does not do: it never repartitions. If equal records may have different keys, put a Rekey in front.
package processors
