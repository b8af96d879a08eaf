// Command ratios makes a table in Markdown of rounds of benchmarks in which contenders took turns:
//
//	go run ./ratios FILE
//
// FILE is what the benchmarks printed, one round after the other; the last part of a name is engine=NAME. A row has the median of each
// unit over the rounds, and how riffle's records/s compare with that engine's: the median of the ratios of each round, with
// the least and the largest. So what slows the whole machine for a while does not count.
package main
