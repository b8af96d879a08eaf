// Package memnet is a network inside the process: a net.Listener and net.Conn
// over bounded buffers in memory.
//
// A Listener hands out connections by Dial and takes them in by Accept. Each
// connection is two one-way pipes, each a ring buffer that grows from a few
// kilobytes up to Config.BufferBytes and then blocks its writer. That is what
// TCP does, and what net.Pipe does not: over net.Pipe every Write waits until
// its bytes are read, so a peer that is busy stalls the other's next request.
//
// Conns behave like TCP connections: deadlines end a call with
// os.ErrDeadlineExceeded, a closed peer reads what was written before and then
// io.EOF, errors are *net.OpError. Read, Write, Close and the deadlines may be
// called concurrently.
//
// Waiting is on sync.Cond and timers only, so a testing/synctest bubble sees a
// waiting goroutine as durably blocked and its clock moves on.
//
// memnet does not lose, delay or reorder bytes; tests of a bad network wrap a
// Conn.
package memnet
