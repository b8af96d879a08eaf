// Package brokertest starts brokers for tests.
//
// A broker of Start lives in memory unless it is told otherwise, is stopped when
// the test ends, and then every byte of its logs is verified: each test that uses
// it is also a test of the log. Client connects franz-go to it without a socket;
// that works in a testing/synctest bubble, too, whose clock no socket stops.
//
// The functions may be called concurrently, from any goroutine that may use the
// test.
//
// Nothing here pretends to be a broker: there are no injected answers. Faults of
// the disk come from the file system that is given to it.
package brokertest
