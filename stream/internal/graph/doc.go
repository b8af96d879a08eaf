// Package graph describes a topology as plain data: nodes, the edges between them, and the sub-topologies they
// form. It knows no types and runs nothing; package stream fills a Builder while the user chains operators, and
// the runtime, the test driver and Topology.String read what Build returns.
//
// Concepts:
//
//   - A Node is a source, a processor, a rekey step or a sink. Its name is the user's where the name matters
//     (topics, stores), and derived from its nearest named ancestor where it does not.
//   - A SubTopology is a set of nodes connected by edges or by shared stores. One sub-topology runs per partition
//     of its inputs, as a task.
//   - A Rekey step whose new key matters downstream, because a stateful step follows, is cut in two: the upper half
//     writes a repartition topic, the lower half reads it. Build decides this; nobody asks for it.
//
// Build reports every mistake at once. A Topology is immutable and may be shared between goroutines; a Builder may
// not.
//
// What it deliberately does not do: it holds no serdes and no user functions, and never touches a broker. Whether
// a topic exists, and with how many partitions, is the runtime's question.
package graph
