// Command riffle is the command line of Riffle: it runs a broker, manages topics, and writes, reads and replays
// records.
//
//	riffle server --dir data
//	riffle topic create payments --partitions 3
//	riffle produce payments -K = < payments.txt
//	riffle consume payments -o 1200:
//
// Every command but server is a Kafka client: it works on a Riffle server and on Apache Kafka alike.
//
// The contract, for people and for scripts: results go to standard output and nothing else does; errors go to
// standard error as one line "riffle: …" that names the thing and the remedy. The exit code is 0 if all was done, 1
// if anything failed, even one record or one topic of many, and 2 if the command line itself was wrong. JSON is one
// value a line. Nothing waits for ever: a broker that does not answer is given up after --timeout.
package main
