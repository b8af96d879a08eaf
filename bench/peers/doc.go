// Package peers measures the stream engine beside what its users would otherwise take.
//
// The contenders do the same work on the same records, one after the other; the last part of a benchmark's name tells which:
//
//	engine=riffle      this engine, exactly once
//	engine=riffle-alo  this engine, at least once
//	engine=kgo         a plain loop over franz-go with its state in Go maps, which it forgets; a transaction each 100 ms
//	engine=kgo-alo     the same loop; it flushes and commits its offsets each 100 ms
//	engine=kgo-badger  the same, at least once, with a Badger transaction for each record instead of the map
//	engine=goka        what goka does for a record, and nothing else: sarama, a get and a put in goleveldb, a message to a
//	                   changelog, which is also the output
//	engine=goka-count  the same, counting: beside windows, which goka does not have
//	engine=jetstream   NATS JetStream in this process: consume, work in Go maps, publish, acknowledge
//
// All but the last use the same broker in this process, over connections in memory, and topics with the same settings: a record
// is on disk before it is acknowledged.
//
// A run has a process of its own. It starts the contender, lets it take the records that wait in its topic, and stops it. The clock runs from the commit
// that has the first tenth of them to the one that has the last; so does the count of CPU time, allocations and written
// bytes. Starting up is not in it, and neither is making the input. The slow contenders are given an eighth of the records, and
// a run that takes more than a minute fails.
//
// Five rounds of all throughput take about half an hour; RUN=Engine/work=pass and the like make parts of it, whose outputs
// (OUT=FILE) can be put one behind the other for ratios.
//
// BenchmarkEngine has throughput, BenchmarkLatency the time from when a record was due in the input to when a reader of committed
// records has what came of it, BenchmarkRestart the time from a kill to the first record that is processed again.
//
// The command in ratios makes the tables of docs/performance.md of the output. The package is a module of its own so that
// nobody who uses Riffle gets its peers as dependencies. RIFFLE_BENCH_DIR keeps the topics and the state of the larger cases from one
// process to the next, RIFFLE_BENCH_PROFILES takes a CPU profile of each run.
package peers
