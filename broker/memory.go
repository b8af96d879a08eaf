package broker

import (
	"sync"
	"sync/atomic"
)

// keepBytes is the largest buffer that is kept for another request.
const keepBytes = 4 << 20

// bufferPool recycles the buffers of produce and fetch requests and of fetch
// responses. Those of other requests are never recycled: what a handler keeps of
// them (a group's metadata) may be a view into the frame.
type bufferPool struct{ pool sync.Pool }

// get returns an old buffer, or nil.
func (p *bufferPool) get() []byte {
	if b, ok := p.pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return nil
}

// sized returns an empty buffer with room for want bytes and as many again, as far
// as such a buffer would be kept.
func (p *bufferPool) sized(want int) []byte {
	b := p.get()
	if cap(b) < want && want <= keepBytes {
		b = make([]byte, 0, min(2*want, keepBytes))
	}
	return b
}

// put takes a buffer that nobody refers to any more.
func (p *bufferPool) put(b []byte) {
	if cap(b) > firstFrameBytes && cap(b) <= keepBytes {
		p.pool.Put(&b)
	}
}

// fetchFloor is what a fetch may read even if others use up the memory: a consumer
// that got nothing would never move on.
const fetchFloor = 64 << 10

// fetchMemory bounds the records of fetch responses that are not written yet. It
// never waits: slow readers make the responses of others small, and do not stop
// them.
type fetchMemory struct {
	limit int64 // immutable
	used  atomic.Int64
}

// take returns how much of want may be read, at least fetchFloor unless want is
// less.
func (m *fetchMemory) take(want int) int {
	for {
		used := m.used.Load()
		got := max(min(int64(want), m.limit-used), min(int64(want), fetchFloor))
		if m.used.CompareAndSwap(used, used+got) {
			return int(got)
		}
	}
}

// give returns what take gave.
func (m *fetchMemory) give(bytes int) { m.used.Add(-int64(bytes)) }
