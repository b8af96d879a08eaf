package broker

import (
	"slices"
	"sync"
	"sync/atomic"
)

// bufferPool recycles the buffers of produce and fetch requests and of fetch
// responses. Those of other requests are never recycled: what a handler keeps of
// them (a group's metadata) may be a view into the frame.
//
// Producers under load send requests of megabytes, whose buffers cost twice their size
// in garbage if each is made anew. So large ones are kept, but no more than limit of
// them, whoever used them; and who wants one gets none that is much larger than that.
type bufferPool struct {
	limit int64     // bytes of large buffers that are kept; immutable
	small sync.Pool // up to reserveFirst

	mu struct {
		sync.Mutex
		idle  [][]byte // large ones, the one put first comes first
		bytes int64    // capacity of all of them
		old   int      // how many of the first have been idle since the last age
	}
}

// take returns an empty buffer that was used before, or nil. A large one has room for
// want bytes, and not for more than most.
func (p *bufferPool) take(want, most int) []byte {
	if want <= reserveFirst {
		if b, ok := p.small.Get().(*[]byte); ok {
			return (*b)[:0]
		}
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	best := -1
	for i, b := range p.mu.idle {
		if cap(b) >= want && cap(b) <= most && (best < 0 || cap(b) < cap(p.mu.idle[best])) {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	return p.removeLocked(best)
}

func (p *bufferPool) removeLocked(i int) []byte {
	b := p.mu.idle[i]
	p.mu.idle = slices.Delete(p.mu.idle, i, i+1)
	if i < p.mu.old {
		p.mu.old--
	}
	p.mu.bytes -= int64(cap(b))
	return b[:0]
}

// sized returns an empty buffer for about want bytes, with room for as many again.
func (p *bufferPool) sized(want int) []byte {
	b := p.take(want, 4*want)
	if cap(b) < want && int64(2*want) <= p.limit {
		b = make([]byte, 0, 2*want)
	}
	return b
}

// put takes a buffer that nobody refers to any more. The ones that were put long ago
// make room for it.
func (p *bufferPool) put(b []byte) {
	switch size := int64(cap(b)); {
	case size <= firstFrameBytes || size > p.limit:
	case size <= reserveFirst:
		p.small.Put(&b)
	default:
		p.mu.Lock()
		defer p.mu.Unlock()
		for p.mu.bytes+size > p.limit {
			p.removeLocked(0)
		}
		p.mu.idle = append(p.mu.idle, b)
		p.mu.bytes += size
	}
}

// age lets go of the large buffers that nobody has taken since the last call.
func (p *bufferPool) age() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.mu.old > 0 {
		p.removeLocked(0)
	}
	p.mu.old = len(p.mu.idle)
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
