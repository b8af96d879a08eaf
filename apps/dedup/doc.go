// Dedup finds what comes twice: rows of any CSV file, or card payments.
//
//	dedup --input orders.csv --key row --ttl 0              whole rows, for ever
//	dedup --input orders.csv --key order,item --ttl 24h     by id, within a day of event time
//	dedup payments --input payments.csv                     payments that are sent or made again
//
// Rows are written to the topic rows, keyed by what makes them equal. The topology in topology.go sends each to the topic
// unique or, with the place of the first of its kind, to duplicates; rows that do not parse go to dedup-dead-letters. By default the
// broker lives in this process and everything lies in a temporary directory. With --dir all of it is kept, and a run
// that was interrupted goes on where it stopped. For payments see payments_topology.go and docs/dedup.md.
package main
