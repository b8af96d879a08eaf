// Package group is one consumer group as a pure state machine: which offsets it has
// committed and, of the classic protocol, who its members are, which generation they
// agreed on, and which requests wait for that agreement.
//
// Concepts:
//
//   - A Group takes events (Join, Sync, Heartbeat, Leave, Tick) together with the
//     time they happened, and returns Effects. It never reads a clock, starts a
//     goroutine or does I/O, so equal inputs give equal outputs.
//   - A request that has to wait for others is parked under a Token of the
//     caller's choice. Each token is answered exactly once, by a Reply in the
//     Effects of that or a later event.
//   - A Store is a record for the topic __consumer_offsets. What must not be
//     said before it is durable (a new assignment) waits until the caller
//     reports the outcome with Stored.
//   - Deadline is when the group next wants to hear Tick: sessions, the initial
//     delay, and the two phases of a rebalance (join, sync) all end there.
//   - Committed offsets are checked (CheckCommit), written by the caller, and
//     then applied with the log position of their record, so that the order of
//     the log decides which of two commits wins. Expired names those that may be
//     forgotten (KIP-211).
//
// A Group is not safe for concurrent use: its owner holds a lock or runs a loop.
//
// The rules follow Apache Kafka's GroupMetadataManager and OffsetMetadataManager
// (KIP-62, KIP-134, KIP-345, KIP-394, KIP-559, KIP-814); where this package
// differs on purpose, the code says so. It does not know requests and their
// versions, topics, files or sockets: package broker does. Members of the
// consumer protocol (KIP-848) are package consumer's; their offsets are here.
package group
