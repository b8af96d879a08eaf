// Package stream is Riffle's way to write and run a topology: a typed chain of operators over the topics of a
// Kafka-compatible broker, with state.
//
//	b := stream.NewBuilder("payments")
//	b.From(Payments).
//		Filter(Payment.Approved).
//		Process("velocity", velocity, recent).
//		To(Alerts)
//	topology, err := b.Build()
//
// Concepts:
//
//   - A [Topic] is a typed value: name, serdes, event time. A wrong sink does not compile.
//   - A [Stream] is what flows between two operators. Operators that take a function of the value alone keep the
//     key; those whose name ends in Record see the key, the time and the headers too; those that begin with Try
//     may fail. [Stream.Process] can do everything, with stores; [Stream.ProcessWith] has timers and punctuation too.
//   - [Stream.Rekey] is the only operator that gives a record a new key. If a step with a store follows, the records
//     travel through a repartition topic first, so that all records of a key meet in one task.
//   - A [Table] is of each key the latest value: of a topic ([Builder.Table]), or what [Stream.Count],
//     [Stream.Reduce], [Stream.Aggregate] and [Stream.Cogroup] make of a stream. What flows between its operators
//     are changes. [Table.Rekey] regroups its rows for another aggregate, and
//     [Table.Suppress] holds changes back, so that a row is sent less often.
//   - Streams join tables ([Stream.Join]), and tables join tables ([Table.Join]), also by a key in
//     their values ([Table.JoinForeign]). A [GlobalTable] is at hand whole in every
//     instance ([Stream.JoinGlobal]). Two streams join within a window ([Stream.JoinStream]).
//   - [Stream.Window], [Stream.Sessions] and [Stream.Sliding] part records by windows of event time (package window).
//     Aggregates of them are tables, whose rows can be sent once when a window is closed ([WindowTable.OnClose]); what
//     comes too late is a stream of its own.
//   - Every step with a name in a topic (Process, Rekey, aggregates, stores) is named by the user. Inserting a step renames
//     nothing that is kept.
//   - [Stream.AsyncMap] makes slow calls for many records at a time.
//   - A [Topology] is what [Builder.Build] makes of it, once it found no mistake. Its text ([Topology.String]) is
//     stable: use it as a golden test.
//
// # A record is all or nothing
//
// A record passes all operators of its sub-topology in one go, by function calls. What it does, its outputs and its
// writes to stores, takes effect when it has passed all of them. If a function returns an error or panics, or an
// output cannot be encoded, the record has no effect at all: outputs and writes of all its branches are dropped, and
// the record goes to the dead-letter topic with the cause, the node, and where it came from, unless the topology decides
// otherwise ([Builder.OnError]). Processing goes on with the next record. An error of a store stops the task instead: it is not the record's fault.
//
// Effects outside (a request in a Peek) are not undone, and happen again when a record is processed again after a
// crash.
//
// # Concurrency
//
// A Builder belongs to one goroutine. A Topology is immutable. User functions are called by many tasks at once, each
// for its own partition: keep what must last in stores, not in variables. Within a task everything happens in order,
// and so does everything that concerns one key.
//
// # What it does not do
//
// It never guesses: no generated names for state, no silent drops, no default serdes.
package stream
