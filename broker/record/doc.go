// Package record reads, checks and builds Kafka record batches of version 2, which
// are the same bytes on the wire, in the log and in memory.
//
// A Batch is a view of such bytes: its methods read the header in place. Next
// splits the first batch from a run of them, as in a segment or a fetch response.
// Check compares the checksum, Records walks the records of an uncompressed batch
// without copying, Validate says whether a producer may send it, and Admit is
// Validate with what the broker corrects on the way in. The few fields that a
// broker writes have setters. A Builder builds batches in a buffer that it reuses.
//
// Every length and count is checked against the bytes that are there, before it
// is believed: bytes from anywhere may be read, and nothing panics or allocates on
// their word.
//
// A Batch may be read concurrently. The setters, Admit and a Builder need one
// caller at a time.
//
// The package neither compresses nor decompresses: a broker stores what the
// producer sent. It does not know transactions beyond their flags, and does not
// read the formats before version 2.
//
// The format is described at https://kafka.apache.org/documentation/#recordbatch.
package record
