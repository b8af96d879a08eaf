// Package broker is a Kafka server in one process: connections, limits, topics,
// and one handler per API key.
//
// The concepts:
//
//   - A Broker owns a directory: the catalog of topics, one commitlog.Log per
//     partition, the flusher that makes appends durable, the group coordinator.
//   - A listener is a way in: TCP addresses and, always, an in-memory one (Dial).
//     Each listener has its own advertised address, so that a client finds in its
//     metadata what it can reach.
//   - A connection has a goroutine that reads frames into a bounded queue and one
//     that handles them and writes the answers, strictly in order. A produce
//     request is appended at once and answered when its records are durable;
//     requests behind it may be appended meanwhile and share the fsync, but no
//     answer overtakes another.
//   - The table of apis.go names each API key with its versions and handler.
//     ApiVersions is generated from it. Each key has a file, whose comment lists
//     versions and deviations from Kafka.
//   - Everything a stranger can make the broker allocate has a limit in Config: the
//     frame is read as its bytes arrive, its array counts are checked against the
//     bytes left before kmsg decodes it (shape.go), requests under way share a
//     memory budget, connections are counted per address.
//   - transactions is the coordinator of transactions, in front of package txn as the
//     group coordinator is in front of package group. A transactional id is used by
//     one request at a time, its turn, also while that waits for the disk.
//   - errorCode is the only place where a Go error becomes a Kafka error code.
//
// The exported methods of a Broker may be called concurrently. Handlers run on the
// goroutine of their connection, concurrently with those of other connections.
//
// The broker does not decompress batches and does not authenticate yet (a
// non-loopback address is therefore refused unless Config.AllowPlaintext is set).
package broker
