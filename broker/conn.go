package broker

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	// keepOutBytes is the largest buffer that a connection keeps for its answers.
	keepOutBytes = 64 << 10
	// writePieceBytes is how much must go out within one Config.WriteTimeout.
	writePieceBytes = 1 << 20
	// readBufferBytes holds the small requests of a client that pipelines.
	readBufferBytes = 8 << 10
)

var (
	errStopping = errors.New("broker: stopping")
	errPanic    = errors.New("broker: a handler panicked")
	// errNoAnswer closes a connection where the protocol has no place for an error:
	// produce requests with acks=0.
	errNoAnswer = errors.New("broker: a request without an answer failed")
)

// conn is one connection. A handler gets it for what it knows of the client.
//
// Two goroutines serve it: read takes frames off the wire into queue, work handles
// them in order and writes the answers. So a client can send its next request
// while a fetch waits, and a client that goes away ends that wait.
type conn struct {
	b        *Broker
	nc       net.Conn
	raw      net.Conn // nc, or what is below its TLS
	listener *listener
	logger   *slog.Logger

	// ctx ends when the client is gone or the broker stops: handlers that wait for
	// something to happen then answer with what there is.
	ctx    context.Context
	cancel context.CancelFunc

	queue    chan *request
	busy     atomic.Int32 // requests read and not yet answered
	stopping atomic.Bool

	auth          authentication
	handshakeEnds time.Time // immutable: see Config.HandshakeTimeout

	// The rest belongs to the goroutine of work.
	working working
	client  string // id that the request under way states
	out     []byte // answers are encoded here
	fetched int    // bytes of records in the last fetch response
	// mutedUntil is when the client's pause is over, see throttle.
	mutedUntil time.Time
	// partitions are those of the last fetch; the slice is used again.
	partitions []fetchPartition
}

func newConn(b *Broker, l *listener, nc net.Conn) *conn {
	c := &conn{
		b: b, nc: nc, raw: nc, listener: l,
		logger: b.cfg.Logger.With("client", nc.RemoteAddr().String()),
		queue:  make(chan *request, b.cfg.MaxQueuedRequests),

		handshakeEnds: time.Now().Add(b.cfg.HandshakeTimeout),
	}
	if l.tls != nil {
		c.nc = tls.Server(nc, l.tls)
	}
	c.auth.required = l.sasl
	c.auth.done.Store(!l.sasl && l.tls == nil)
	c.identify(anonymous)
	c.ctx, c.cancel = context.WithCancel(context.WithValue(b.ctx, workingKey{}, &c.working))
	return c
}

// clientID is the name that the request under way gives its client.
func (c *conn) clientID() string { return c.client }

// clientHost is where the client is, as groups describe their members.
func (c *conn) clientHost() string {
	host, _, err := net.SplitHostPort(c.nc.RemoteAddr().String())
	if err != nil {
		host = c.nc.RemoteAddr().String()
	}
	return "/" + host // Kafka prints a Java InetAddress
}

// advertised is the address of this broker for clients of the connection's
// listener.
func (c *conn) advertised() (host string, port int32) { return c.listener.advertised(c.nc) }

// serve runs the connection until it ends.
func (c *conn) serve() {
	defer c.cancel()
	defer c.nc.Close()
	if err := c.handshake(); err != nil {
		c.logEnd("handshake", err)
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(c.queue)
		defer c.cancel()
		c.logEnd("read", c.read())
	}()
	c.logEnd("work", c.work())
	c.stop() // if work ended first
	for req := range c.queue {
		c.release(req)
	}
	<-done
}

// stop ends reading. What was read is still handled and answered.
func (c *conn) stop() {
	c.stopReading()
	c.cancel()
}

func (c *conn) stopReading() {
	c.stopping.Store(true)
	_ = c.nc.SetReadDeadline(time.Unix(1, 0))
}

// logEnd reports why a connection ended, unless the client just left.
func (c *conn) logEnd(part string, err error) {
	switch {
	case err == nil, errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, errStopping),
		errors.Is(err, io.ErrClosedPipe), errors.Is(err, context.Canceled):
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.logger.Info("broker: connection timed out", "during", part)
	case errors.Is(err, errPanic), errors.Is(err, errFrame), errors.Is(err, errUnauthenticated), errors.Is(err, errLogin), errors.Is(err, errHandshake):
		c.logger.Warn("broker: connection closed", "cause", err)
	default:
		c.logger.Info("broker: connection lost", "cause", err)
	}
}

// read queues requests until the connection ends.
func (c *conn) read() error {
	src := &timedReader{c: c}
	frames := frameReader{
		src:   bufio.NewReaderSize(src, readBufferBytes),
		limit: c.frameLimit,
		raw:   c.auth.rawTokens.Load,
		reserve: func(bytes int64) error {
			err := c.b.memory.Acquire(c.ctx, bytes)
			src.frameEnds = time.Now().Add(c.b.cfg.FrameTimeout) // waiting was not the client's fault
			return err
		},
		buffers: &c.b.buffers,
	}
	for {
		if src.frameEnds = (time.Time{}); frames.src.Buffered() > 0 {
			src.frameEnds = time.Now().Add(c.b.cfg.FrameTimeout)
		}
		req, err := frames.next()
		if err != nil {
			if req != nil {
				c.b.memory.Release(req.memory)
			}
			return err
		}
		c.b.metrics.received.Add(float64(4 + len(req.frame)))
		c.busy.Add(1)
		c.queue <- req // work takes it, or serve does after work ended
	}
}

// timedReader reads from the connection under the deadline that fits: the idle
// timeout between frames, the frame timeout inside one.
type timedReader struct {
	c         *conn
	frameEnds time.Time // zero between frames
}

func (r *timedReader) Read(p []byte) (int, error) {
	for {
		between := r.frameEnds.IsZero()
		deadline := r.frameEnds
		if between {
			deadline = time.Now().Add(r.c.b.cfg.IdleTimeout)
		}
		ends, pending := r.c.proveWithin()
		if pending && ends.Before(deadline) {
			deadline = ends
		}
		_ = r.c.nc.SetReadDeadline(deadline)
		if r.c.stopping.Load() {
			return 0, errStopping // stop set a deadline that was overwritten above
		}
		n, err := r.c.nc.Read(p)
		if n > 0 && between {
			r.frameEnds = time.Now().Add(r.c.b.cfg.FrameTimeout)
		}
		if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
			if r.c.stopping.Load() {
				return n, errStopping
			}
			if _, still := r.c.proveWithin(); n == 0 && pending && !still {
				continue // it was in time
			} else if n == 0 && between && !still && r.c.busy.Load() > 0 {
				continue // not idle: the client waits for an answer
			}
		}
		return n, err
	}
}

// reply is a handled request whose answer has not been written.
type reply struct {
	req    *request
	resp   kmsg.Response
	began  time.Time
	worked time.Duration // by the handler, without what it waited
}

// settler is a response that is complete only when records are durable.
type settler interface {
	kmsg.Response
	// settle waits and fills in the result. It reports false if nothing is to be
	// answered.
	settle(ctx context.Context) (answer bool, err error)
}

// work handles requests in order until the queue is closed. Produce requests that
// came together are all appended before the first is answered: one fsync serves
// them.
func (c *conn) work() error {
	var waiting []reply
	defer func() {
		for _, r := range waiting {
			c.release(r.req)
		}
	}()
	for {
		req, open := c.take(len(waiting) == 0)
		if req == nil || req.key != int16(kmsg.Produce) || len(waiting) == cap(c.queue) || c.muted() {
			for len(waiting) > 0 {
				r := waiting[0]
				waiting = waiting[1:]
				if err := c.finish(r); err != nil {
					if req != nil {
						c.release(req)
					}
					return err
				}
			}
		}
		if req == nil {
			if !open {
				return nil
			}
			continue
		}
		c.awaitUnmuted()
		r, err := c.handle(req)
		if err != nil {
			c.release(req)
			for len(waiting) > 0 && err != nil { // those before it are answered
				r := waiting[0]
				waiting = waiting[1:]
				err = errors.Join(err, c.finish(r))
			}
			return err
		}
		if _, later := r.resp.(settler); later {
			waiting = append(waiting, r)
			continue
		}
		if err := c.finish(r); err != nil {
			return err
		}
	}
}

// take returns the next request; if there is none it waits, or returns nil.
func (c *conn) take(wait bool) (req *request, open bool) {
	if wait {
		req, open = <-c.queue
		return req, open
	}
	select {
	case req, open = <-c.queue:
		return req, open
	default:
		return nil, true
	}
}

// release gives back what a request holds.
func (c *conn) release(req *request) {
	c.b.memory.Release(req.memory)
	if carriesRecords(req.key) {
		c.b.buffers.put(req.frame)
	}
	req.frame, req.body = nil, nil
	c.busy.Add(-1)
}

// handle decodes a request and runs its handler. An error ends the connection; so
// does a panic, and only that connection.
func (c *conn) handle(req *request) (r reply, err error) {
	defer func() {
		if p := recover(); p != nil {
			c.b.metrics.panics.Inc()
			c.logger.Error("broker: handler panicked", "api", apiName(req.key), "version", req.version, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %s v%d", errPanic, apiName(req.key), req.version)
		}
	}()
	r = reply{req: req, began: time.Now()}
	c.working.waited = 0
	if req.token {
		r.resp, err = c.handleRawToken(req.frame)
		return r, err
	}
	if err := c.auth.admit(req.key, r.began); err != nil {
		return r, err
	}
	a, served := c.b.apis[req.key]
	if !served || req.version < a.min || req.version > a.max {
		if req.key == int16(kmsg.ApiVersions) {
			r.resp = unsupportedApiVersions(a)
			return r, nil
		}
		return r, fmt.Errorf("%w: %s v%d is not served", errFrame, apiName(req.key), req.version)
	}
	kreq := kmsg.RequestForKey(req.key)
	kreq.SetVersion(req.version)
	if err := req.parseHeader(kreq.IsFlexible()); err != nil {
		return r, err
	}
	decoded, err := checkShape(kreq, req.body)
	if err != nil {
		return r, err
	}
	excess, err := c.reserveDecoded(kreq, decoded-freeDecodedBytes(len(req.frame)))
	if err != nil {
		return r, err
	}
	defer c.b.decodeMemory.Release(excess)
	if err := kreq.ReadFrom(req.body); err != nil {
		return r, fmt.Errorf("%w: %s v%d: %w", errFrame, apiName(req.key), req.version, err)
	}
	c.client = req.clientID
	r.resp, err = a.handle(c.b, c.ctx, c, kreq)
	r.worked = time.Since(r.began) - c.working.waited
	return r, err
}

// reserveDecoded waits until the memory that a request takes decoded, beyond what it may
// take by its size, is there, and returns what is to be given back.
func (c *conn) reserveDecoded(req kmsg.Request, excess int64) (int64, error) {
	if excess <= 0 {
		return 0, nil
	}
	limit := c.b.cfg.MaxDecodeMemoryBytes
	ctx, cancel := context.WithTimeout(c.ctx, c.b.cfg.FrameTimeout)
	defer cancel()
	defer pause(ctx)()
	if excess > limit || c.b.decodeMemory.Acquire(ctx, excess) != nil {
		if err := c.ctx.Err(); err != nil {
			return 0, err // the client has left
		}
		return 0, fmt.Errorf("%w: %s v%d takes %d bytes decoded above its share, of %d that all requests have together",
			errFrame, apiName(req.Key()), req.GetVersion(), excess, limit)
	}
	return excess, nil
}

// finish completes a reply, writes it and gives back what its request holds.
func (c *conn) finish(r reply) error {
	defer c.release(r.req)
	resp, answer := r.resp, r.resp != nil
	if s, ok := resp.(settler); ok {
		var err error
		if answer, err = s.settle(c.b.hardCtx); err != nil {
			return err
		}
	}
	c.b.metrics.request(r.req.key, time.Since(r.began))
	c.throttle(r, resp)
	if !answer {
		return nil
	}
	if raw, ok := resp.(rawAnswer); ok {
		return c.write(append(binary.BigEndian.AppendUint32(nil, uint32(len(raw.token))), raw.token...))
	}
	frame := appendResponseHeader(c.out[:0], r.req.correlationID, resp)
	if f, ok := resp.(*fetchResponse); ok {
		return c.writeFetch(frame, f)
	}
	frame = resp.AppendTo(frame)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	c.keep(frame)
	return errors.Join(c.write(frame), c.auth.failed)
}

// keep remembers an encoded answer's buffer for the next one.
func (c *conn) keep(frame []byte) {
	c.out = nil
	if cap(frame) <= keepOutBytes {
		c.out = frame
	}
}

// write sends bytes in pieces, each under its own deadline.
func (c *conn) write(frame []byte) error {
	for len(frame) > 0 {
		piece := frame[:min(len(frame), writePieceBytes)]
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.b.cfg.WriteTimeout))
		n, err := c.nc.Write(piece)
		c.b.metrics.sent.Add(float64(n))
		if err != nil {
			return err
		}
		frame = frame[n:]
	}
	return nil
}
