package memnet

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// network is the name of the network in addresses and errors.
const network = "memory"

// Config tunes a Listener. The zero value is a working configuration.
type Config struct {
	// BufferBytes is how many bytes one direction of a connection holds before
	// its writer blocks. The default is 256 KiB.
	BufferBytes int
	// Backlog is how many dialled connections may wait for Accept before Dial
	// blocks. The default is 128.
	Backlog int
}

func (c Config) withDefaults() Config {
	if c.BufferBytes <= 0 {
		c.BufferBytes = 256 << 10
	}
	if c.Backlog <= 0 {
		c.Backlog = 128
	}
	return c
}

// Addr is the name of an endpoint.
type Addr string

// Network is "memory".
func (Addr) Network() string { return network }

// String is the name.
func (a Addr) String() string { return string(a) }

// Listener accepts connections that are dialled in the same process. Its methods
// may be called concurrently.
type Listener struct {
	addr   Addr
	cfg    Config
	accept chan *Conn
	closed chan struct{}
	once   sync.Once
}

// Listen returns a listener with the given name. The name is for addresses and
// messages only: connections are made by the Listener's own Dial.
func Listen(name string, cfg Config) *Listener {
	cfg = cfg.withDefaults()
	return &Listener{
		addr:   Addr(name),
		cfg:    cfg,
		accept: make(chan *Conn, cfg.Backlog),
		closed: make(chan struct{}),
	}
}

// Dial connects to the listener. It waits while the backlog is full, until ctx
// ends, and returns an error that matches net.ErrClosed once the listener is
// closed.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.opError("dial", net.ErrClosed)
	default:
	}
	client, server := Pair(l.cfg.BufferBytes)
	client.remote, server.local = l.addr, l.addr
	select {
	case l.accept <- server:
	case <-l.closed:
		return nil, l.opError("dial", net.ErrClosed)
	case <-ctx.Done():
		return nil, l.opError("dial", ctx.Err())
	}
	select {
	case <-l.closed:
		// Close may have emptied the backlog before the connection got there.
		l.drain()
	default:
	}
	return client, nil
}

// Accept returns the next dialled connection, or an error that matches
// net.ErrClosed once the listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, l.opError("accept", net.ErrClosed)
	default:
	}
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, l.opError("accept", net.ErrClosed)
	}
}

// Close ends the listener and the connections that nobody accepted. Accepted
// connections live on.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		l.drain()
	})
	return nil
}

// Addr is the listener's name.
func (l *Listener) Addr() net.Addr { return l.addr }

func (l *Listener) drain() {
	for {
		select {
		case c := <-l.accept:
			_ = c.Close()
		default:
			return
		}
	}
}

func (l *Listener) opError(op string, err error) error {
	return &net.OpError{Op: op, Net: network, Addr: l.addr, Err: err}
}

// Conn is one end of a connection in memory. Its methods may be called
// concurrently.
type Conn struct {
	in, out       *pipe
	local, remote Addr
}

// Pair returns the two ends of a new connection, each direction of which holds
// bufferBytes, or Config's default if bufferBytes is not positive.
func Pair(bufferBytes int) (client, server *Conn) {
	bufferBytes = Config{BufferBytes: bufferBytes}.withDefaults().BufferBytes
	up, down := newPipe(bufferBytes), newPipe(bufferBytes)
	client = &Conn{in: down, out: up, local: "client", remote: "server"}
	server = &Conn{in: up, out: down, local: "server", remote: "client"}
	return client, server
}

// Read waits for at least one byte. It returns io.EOF when the peer has closed
// and all it wrote was read.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.in.read(b)
	return n, c.opError("read", err)
}

// Write returns when all of b is on its way; it does not wait for the reader
// unless the buffer is full.
func (c *Conn) Write(b []byte) (int, error) {
	n, err := c.out.write(b)
	return n, c.opError("write", err)
}

// Close ends both directions. Blocked calls on this end return an error that
// matches net.ErrClosed; the peer reads what was written before, then io.EOF.
func (c *Conn) Close() error {
	c.out.closeWrite()
	c.in.closeRead()
	return nil
}

// LocalAddr is the name of this end.
func (c *Conn) LocalAddr() net.Addr { return c.local }

// RemoteAddr is the name of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.remote }

// SetDeadline sets the read and the write deadline.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline ends pending and future reads at t with
// os.ErrDeadlineExceeded; the zero time means never.
func (c *Conn) SetReadDeadline(t time.Time) error {
	c.in.setReadDeadline(t)
	return nil
}

// SetWriteDeadline ends pending and future writes at t with
// os.ErrDeadlineExceeded; the zero time means never. A write that was cut short
// returns how many bytes went out.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	c.out.setWriteDeadline(t)
	return nil
}

// opError wraps err as package net does, so that callers see what they see from
// TCP. io.EOF stays plain.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // pipe returns it bare
		return err
	}
	return &net.OpError{Op: op, Net: network, Source: c.local, Addr: c.remote, Err: err}
}
