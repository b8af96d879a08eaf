// Package client is the runtime's way to a Kafka-compatible broker, in batches: a poll yields, per
// partition, a Batch of record views; an output is copied into slabs and handed to the producer.
//
// Concepts:
//
//   - Record, Header and Batch are what the rest of the stream tower sees of a fetched record. Nothing above
//     this package knows the client library underneath, so the data plane can move to raw record batches
//     without touching a task.
//   - A Client is one application instance: it consumes as a member of the application's group, and produces
//     idempotently or, if it has a transactional id, in transactions that also carry the group's offsets.
//   - A Sink collects the outputs of one task between two flushes. It belongs to one goroutine at a time.
//
// What it deliberately does not do: it knows no topology, no task and no state, and decides nothing about
// when to commit. That is package worker.
package client
