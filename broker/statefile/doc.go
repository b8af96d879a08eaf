// Package statefile keeps a small state of the broker in one file that is replaced
// in one step at each change, so that a crash leaves the state before or after it,
// never between. A change is durable when Replace returns.
//
// The file is one line of text with what it is, the version of its format and a
// checksum, and then a body, which is up to the owner:
//
//	riffle-catalog 1 crc32c=1a2b3c4d
//	{ ... }
//
// A File is not safe for concurrent use: its owner has a lock around changes.
package statefile
