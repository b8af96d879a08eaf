// Package badgerstore keeps the state of one application instance in a Badger
// database: a cache of the changelogs that outlives the process.
//
// # Concepts
//
//   - There is one database per instance. A key begins with the task (sub-topology
//     and partition), a generation, and the store; docs/format/state.md has the
//     bytes. The overlays above it are those of package state.
//   - A checkpoint brings the committed overlay of a task into the database, in
//     batches, with the positions in the last one. It runs in the background, by size
//     and by age; a commit waits for it only while there is more to write than
//     Config allows. A crash leaves the database behind the changelog, never ahead of
//     it: what is in it beyond its position is written again by the replay.
//   - What was read of keys that no overlay has is kept in memory, some bytes for each
//     store, until the next checkpoint of the task.
//   - Of keys that are not there a filter in memory knows it (state.KeyFilter): what was written since the task was opened is in it, and
//     what the database had before is read in the background, a quarter of the time.
//   - Wiping a task is a new generation. Keys of the old one are deleted in the
//     background, in small batches.
//
// # Doubt
//
// Whatever does not look right (a checksum, a torn manifest, a gap in the ring of
// batches, another format, an open that killed the process last time) makes the
// package throw the database away: stores then stand at the zero position and the
// runtime restores them from the changelog. It is logged and counted. Each value
// carries a checksum over its key and itself; one that fails is an error that
// matches [state.ErrCorrupt], and the next open starts from nothing.
//
// Badger writes through memory maps: on a full disk the process dies of SIGBUS. So a
// checkpoint, and the open itself, first look at the free space; without enough of
// it checkpoints pause, which is logged, and commits wait when the overlay is full.
//
// # Concurrency
//
// A DB is safe for concurrent use; its tasks are each used by one goroutine. Two
// goroutines run in the background until Close: checkpoints and the removal of old
// generations; and one for each store that has keys when it is opened, until they are known.
//
// The package does not use Badger's value log, transactions that conflict, time to
// live, or DropPrefix. Badger's errors and types do not leave it.
package badgerstore
