// Package state holds what a task remembers: typed key-value stores, the byte
// level below them, and the overlays that every backend shares.
//
// A store is declared once, with a name and two serdes ([NewKeyValueStore]), and
// opened where it is used, for each record ([KeyValueStore.In]). Names are part
// of the contract: the changelog topic and the data on disk carry them.
//
// Below the typed stores there are bytes. A [Backend] opens a [Task]; a task has
// a [Store] for each name. Writes go to the open overlay; [Task.Commit] folds
// them into the committed one, which a backend moves to its base in the
// background (a checkpoint). Reads look through the overlays, then the base, so
// a task always reads its own writes. Overlays keep keys and values in slabs
// without pointers: the garbage collector does not see them.
//
// Window, session and join stores have times in their keys. What lies in a range of
// one key is found by an index of the overlays for it, and the base is asked only
// for times up to the last one that was ever written to it; a checkpoint leaves out
// what came and went since the one before.
//
// A store is a cache of its changelog topic. Each store of a task has a
// [Position]: the changelog offset and the commit that its data stand for.
// Package state/changelog says how a store is brought up to date from there.
//
// One goroutine at a time uses a task and its stores; tasks of one backend run
// in parallel. The package reads no clock: time to live follows event time.
//
// It does not write changelogs, does not know Kafka, and has no transactions
// over several tasks.
package state
