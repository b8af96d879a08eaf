// Package producer decides whether a batch of an idempotent producer is new, a
// repetition or out of order: the state of the producers of one partition.
//
// A producer has an id and an epoch and numbers its records. A partition keeps,
// for each id, the epoch and the last five batches, because a client has at most
// five requests under way. From these follows the answer (Check): a batch equal
// to one of the five is a repetition and gets the first one's offset; a batch
// that continues the last one is new; all else is out of order. The rules are
// those of Kafka's ProducerAppendInfo.
//
// The state is pure. It reads no clock and does no I/O: the log calls Check
// before an append, Append after it, and keeps Snapshot in a file. After a crash
// Restore and the batches behind the snapshot give the same state again. A State
// must not be used concurrently; the lock of its log guards it.
//
// A producer may have a transaction open: from its first transactional batch to the
// marker that ends it. From these follow the first offset that is not decided
// (FirstOpen), below which the last stable offset lies, and the transactions that
// were aborted (Aborted), which readers skip. Which partitions belong to a
// transaction, and how it ends, is the coordinator's business (package txn).
package producer
