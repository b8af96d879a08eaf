package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// firstBufferBytes is the size of a pipe's ring when its first byte arrives.
// Many connections carry a few small requests only.
const firstBufferBytes = 4 << 10

// pipe carries bytes one way. The side that writes and the side that reads each
// own one deadline and one closed flag.
type pipe struct {
	limit int // immutable: the ring never grows beyond this

	mu         sync.Mutex
	canRead    sync.Cond // data arrived, a side closed, or the read deadline moved or passed
	canWrite   sync.Cond // room appeared, a side closed, or the write deadline moved or passed
	ring       []byte
	head       int // position of the first unread byte
	unread     int
	readerGone bool
	writerGone bool
	readBy     deadline
	writeBy    deadline
}

func newPipe(limit int) *pipe {
	p := &pipe{limit: limit}
	p.canRead.L = &p.mu
	p.canWrite.L = &p.mu
	return p
}

// deadline is a point in time that ends waiting. Its timer is armed only while
// somebody waits: most calls never do, and callers set a deadline per request.
type deadline struct {
	at    time.Time // zero: none
	timer *time.Timer
}

// passed reports whether the deadline is over.
func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// wait releases the lock of cond until it is signalled or the deadline passes.
func (d *deadline) wait(cond *sync.Cond) {
	if !d.at.IsZero() {
		if d.timer == nil {
			d.timer = time.AfterFunc(time.Until(d.at), func() {
				cond.L.Lock()
				defer cond.L.Unlock()
				cond.Broadcast()
			})
		} else {
			d.timer.Reset(time.Until(d.at))
		}
	}
	cond.Wait()
}

func (d *deadline) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// read takes at least one byte, unless b is empty, and never waits for more.
func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.readerGone:
			return 0, net.ErrClosed
		case p.readBy.passed():
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.unread > 0:
			n := p.takeLocked(b)
			p.canWrite.Broadcast()
			return n, nil
		case p.writerGone:
			return 0, io.EOF
		}
		p.readBy.wait(&p.canRead)
	}
}

// write returns when all of b is in the ring, or with the number of bytes that
// got there and the reason why no more did.
func (p *pipe) write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	written := 0
	for {
		switch {
		case p.writerGone:
			return written, net.ErrClosed
		case p.readerGone:
			return written, io.ErrClosedPipe
		case p.writeBy.passed():
			return written, os.ErrDeadlineExceeded
		case written == len(b):
			return written, nil
		}
		if n := p.putLocked(b[written:]); n > 0 {
			written += n
			p.canRead.Broadcast()
			continue
		}
		p.writeBy.wait(&p.canWrite)
	}
}

// takeLocked moves unread bytes to b. The caller holds mu.
func (p *pipe) takeLocked(b []byte) int {
	n := 0
	for n < len(b) && p.unread > 0 {
		end := min(p.head+p.unread, len(p.ring))
		k := copy(b[n:], p.ring[p.head:end])
		n += k
		p.unread -= k
		p.head = (p.head + k) % len(p.ring)
	}
	if p.unread == 0 {
		p.head = 0 // the next write is one copy
	}
	return n
}

// putLocked moves as much of b as fits into the ring, which it grows first if
// the limit allows. The caller holds mu.
func (p *pipe) putLocked(b []byte) int {
	if len(p.ring)-p.unread < len(b) && len(p.ring) < p.limit {
		p.growLocked(p.unread + len(b))
	}
	n := 0
	for n < len(b) && p.unread < len(p.ring) {
		at := (p.head + p.unread) % len(p.ring)
		end := len(p.ring)
		if at < p.head {
			end = p.head
		}
		k := copy(p.ring[at:end], b[n:])
		n += k
		p.unread += k
	}
	return n
}

// growLocked makes room for want bytes, within the limit. The caller holds mu.
func (p *pipe) growLocked(want int) {
	size := max(2*len(p.ring), firstBufferBytes)
	for size < want && size < p.limit {
		size *= 2
	}
	size = min(size, p.limit)
	ring := make([]byte, size)
	k := copy(ring, p.ring[p.head:min(p.head+p.unread, len(p.ring))])
	copy(ring[k:], p.ring[:p.unread-k])
	p.ring, p.head = ring, 0
}

func (p *pipe) setReadDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readBy.at = t
	p.canRead.Broadcast() // a waiter arms the timer anew
}

func (p *pipe) setWriteDeadline(t time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writeBy.at = t
	p.canWrite.Broadcast()
}

// closeRead ends the reading side: what is unread is dropped and writers fail.
func (p *pipe) closeRead() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.readerGone = true
	p.ring, p.head, p.unread = nil, 0, 0
	p.readBy.stop()
	p.canRead.Broadcast()
	p.canWrite.Broadcast()
}

// closeWrite ends the writing side: readers get what is there, then io.EOF.
func (p *pipe) closeWrite() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.writerGone = true
	p.writeBy.stop()
	p.canRead.Broadcast()
	p.canWrite.Broadcast()
}
