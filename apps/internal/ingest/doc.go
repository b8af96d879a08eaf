// Package ingest writes the rows of a source to a topic: each of them once, whatever interrupts it.
//
// Concepts:
//
//   - A source is anything that gives the same rows in the same order each time it is read: a file, or a seeded
//     generator. Its rows are numbered by their lines, which only grow.
//   - Each record carries its line in the header riffle.line. Rows of one partition are written in order, by an idempotent
//     producer, so the last record of a partition says which of its rows are in the log: those up to its line.
//   - The journal is a topic that says which source is being read, where the partitions ended when that began, and, once it
//     ended in peace, the last line. It is the only memory: nothing lies beside the log.
//   - A row that does not parse goes to the application's dead-letter topic, with the source and the line in headers. What may be a
//     card number in it is masked.
//
// After a crash the next Open finds the journal's last entry open, and looks at the end of each partition. Run
// then skips, partition by partition, what is in the log already. So no row is lost and none is written twice. Only one
// source can be open at a time: two crashed ones could not be told apart.
//
// An Import belongs to one goroutine, except Counts. It deliberately does not know what a row means.
package ingest
