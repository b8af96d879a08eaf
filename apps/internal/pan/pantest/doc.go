// Package pantest looks for card numbers in what a program leaves: files, logs, metrics, responses.
//
// Numbers are planted at the edge of a program; then a [Scanner] reads every byte that came of them, for each number in the forms in which
// programs write numbers down. It cannot see what was compressed or encrypted, so programs under test do neither.
package pantest
