// Package changelog says how the history of a store is written to its changelog
// topic, and how a store is restored from it. It is pure: records go in, changes
// come out; it reads no clock, starts no goroutine and does not talk to Kafka.
//
// # What is written
//
// The changelog topic of a store is compacted; a task writes the partition of its
// own number. There are two kinds of records:
//
//   - a data record is one change: the store's key and value as they are, no value
//     for a delete;
//   - a marker ([Marker]) ends a commit in this partition. It has the key
//     [MarkerKey], the header [HeaderMarker] and a value with a checksum.
//
// A commit of a task writes the data records of all its stores, a marker to the
// changelog of each store that had any, and the offsets of the inputs: in one
// transaction, or in this order with a flush after each step. A commit is complete
// when each of these stores has its marker; one without data records has none, and
// nothing to restore. The marker carries the offsets of the inputs, so state and input
// position move together: whatever was lost in a crash, the task resumes at exactly
// the inputs that its state stands for, and no record is applied to the state twice.
//
// # The rule
//
//   - The state of a store as of a commit is the last value of each key among the
//     data records before the commit's marker.
//   - A restored task stands at the last commit that is complete in all its stores.
//   - Data records after that commit's marker, and whatever markers are among them,
//     are what a crashed incarnation left behind. The next incarnation writes those
//     keys again, with their values as of the commit, before its own first marker.
//
// The third point is what makes the first one true for good. The log is never cut,
// so a record that does not count would stay in it for ever; a rule that skips such
// records while reading (by ranges of offsets, say) breaks when the log is
// compacted, because compaction keeps just the last record of each key, the one to
// be skipped perhaps, and drops the markers that say so. Repaired, the log needs no
// memory of its accidents: at every complete marker the last value counts.
//
// Until the repairing commit is written, compaction must not touch the tail. A
// changelog topic therefore has a min.compaction.lag.ms ([TopicConfig]).
//
// # How it is read
//
// A [Replayer] takes the records of one partition, from the offset that the store
// stands at. A marker says which commit of the task was the last complete one when
// it was written; what belongs to commits up to that one is certain and can be
// applied while reading goes on. What is behind it is kept until [Align] knows all
// the task's partitions.
//
// With transactions every commit that a reader sees is complete, and there is nothing
// to repair. What a marker says of positions, of the layout and of the sequence is
// needed all the same, and a task may go from one way of committing to the other.
//
// # What it does not do
//
// Two incarnations of a task that write at the same time are not told apart here:
// that is the business of the consumer group, and of transactions. If it happens under
// at-least-once, keys that both wrote may hold either's value.
//
// The format is in docs/format/changelog.md.
package changelog
