// Package commitlog keeps the log of one partition: record batches in the order
// in which they were appended, in segments on a file system.
//
// The concepts:
//
//   - A Log is a directory of segments. The last segment is active and takes the
//     appends, all others are sealed: complete, fsynced, never written again.
//   - A segment is a file of record batches, the same bytes as on the wire, with a
//     sparse offset index and a sparse time index beside it.
//   - The checkpoint says how much of the log is known to be fsynced. Bytes above it
//     that do not parse are a torn tail, which recovery cuts; below it they are
//     corruption, which is reported and never cut.
//   - Compact keeps the last record of each key. It rewrites sealed segments; offsets
//     stay, and what is gone is stood for by batches without records.
//   - A Flusher makes the appends of many logs durable with as few fsyncs as
//     possible (group commit). It may have a Journal: a file into which it writes the ends
//     of many logs, so that one fsync serves them all.
//
// Records can be read as soon as Append returns, but survive a crash of the machine
// only after Flush, or after Flusher.Wait. FlushedOffset says how far that is.
//
// All methods are safe for concurrent use. Appends are serialised inside; reads run
// beside them and beside each other.
//
// A log reads no clock: where time matters, now is passed in. It knows nothing about
// high watermarks, topics or the protocol; those belong to package broker. Nothing but
// compaction decompresses a batch, and within a limit.
//
// It does not drop the markers of transactions, not even when compaction has removed
// all their records.
//
// The files are described in docs/format/log.md and docs/format/journal.md.
package commitlog
