// Package bench measures the broker as its users meet it: franz-go produces to it and
// fetches from it, over TCP and in memory, and a server process starts again on what
// it left behind.
//
// A number alone says little on a machine that others share. So each benchmark runs
// contenders one after the other, and the last part of its name tells which:
//
//	broker=riffle  this broker, on disk
//	broker=kfake   franz-go's broker for tests, with its data on disk
//	broker=file    the floor: the same bytes, written to or read from a plain file
//
// flush=each waits for an fsync before it answers (kfake: SyncWrites; file: fdatasync
// after each batch), flush=os leaves it to the operating system.
//
// "make bench" runs several rounds of all and shows the ratios, "make bench-compare
// REF=main" sets two revisions side by side. results has what docs/performance.md
// quotes. The benchmarks of a single part are with the part: of the log in
// broker/commitlog, of record batches in broker/record. The stream engine and its peers
// are measured in the module in peers.
package bench
