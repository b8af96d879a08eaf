// Package txn decides what may happen to a transaction: the state of one
// transactional id, as Kafka's transaction coordinator keeps it.
//
// A transactional id belongs to one producer at a time. It has a producer id and an
// epoch, and at most one transaction, which goes through these states:
//
//	Empty ──▶ Ongoing ──▶ PrepareCommit ──▶ CompleteCommit ──▶ Ongoing ...
//	             └──────▶ PrepareAbort  ──▶ CompleteAbort  ──▶ Ongoing ...
//
// The outcome is decided by the step to a Prepare state. From there on all that is
// left is to write the markers to the partitions of the transaction and to note
// that they are written (Complete).
//
// A Txn is a value that does not change. An event returns the Txn as it would be
// afterwards: the coordinator makes its record durable first and takes it over then,
// so that nothing is ever promised that a crash could take back. If the record
// cannot be written it keeps the Txn that it has.
//
// There are two protocols. With the first one (TV1) a client names each partition
// before it writes there, and the epoch changes only when a producer starts. With
// the second one (TV2, KIP-890) a partition is added by the first write to it, and
// each end of a transaction raises the epoch, so that a request that was delayed
// cannot reach the next transaction. When the epochs of a producer id are used up
// the transactional id gets a new one.
//
// The package reads no clock and does no I/O, and nothing in it needs a lock. It
// does not know which partitions exist, and does not write markers.
package txn
