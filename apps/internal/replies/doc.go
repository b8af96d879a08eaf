// Package replies gives the records of a topology request and response: a record is written to an input topic, and the record that comes of
// it in an output topic is waited for.
//
// The two find each other by a header that the topology carries along, riffle.request: an id, and a sum of the content. The
// header lies in the log, so a [Desk] that starts again knows the ids and the replies of before; it keeps the latest in memory, bounded
// by bytes.
//
// One goroutine follows the output topic; all methods may be called concurrently. The package deliberately knows nothing of HTTP.
package replies
