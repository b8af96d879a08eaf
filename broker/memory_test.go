package broker

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/semaphore"
)

// However many connections put their buffers back, no more than the limit is kept; what
// was put last is.
func TestIdleBuffersAreLimited(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	p := bufferPool{limit: 10 * mib}
	var wg sync.WaitGroup
	for range 50 { // connections
		wg.Go(func() {
			for size := range 4 {
				b := p.take((size+1)*mib, 2*(size+1)*mib)
				if b == nil {
					b = make([]byte, 0, (size+1)*mib)
				}
				p.put(b)
			}
		})
	}
	wg.Wait()
	idle := func() (bytes int64) {
		for _, b := range p.mu.idle {
			bytes += int64(cap(b))
		}
		return bytes
	}
	if got := idle(); got > p.limit || got != p.mu.bytes {
		t.Errorf("%d bytes are idle, %d are counted, the limit is %d", got, p.mu.bytes, p.limit)
	}
	p.put(make([]byte, 0, 11*mib)) // never
	p.put(make([]byte, 0, 9*mib))
	if b := p.take(5*mib, 10*mib); cap(b) != 9*mib {
		t.Errorf("took %d bytes, want the buffer that was put last", cap(b))
	}
	if b := p.take(4*mib, 8*mib); b != nil || idle() > mib {
		t.Errorf("took %d bytes, %d are idle: want what was put before to be gone", cap(b), idle())
	}
}

// A buffer that nobody takes from one call of age to the next is let go.
func TestIdleBuffersAge(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	p := bufferPool{limit: 10 * mib}
	p.put(make([]byte, 0, mib))
	p.put(make([]byte, 0, 3*mib))
	p.age()
	p.put(p.take(mib, mib)) // in use meanwhile
	p.age()
	if len(p.mu.idle) != 1 || p.mu.bytes != mib {
		t.Errorf("%d buffers of %d bytes are kept, want the one that was used", len(p.mu.idle), p.mu.bytes)
	}
	p.age()
	if len(p.mu.idle) != 0 || p.mu.bytes != 0 {
		t.Errorf("%d buffers of %d bytes are kept, want none", len(p.mu.idle), p.mu.bytes)
	}
}

// A buffer that is taken fits.
func TestBuffersFit(t *testing.T) {
	t.Parallel()
	p := bufferPool{limit: 10 << 20}
	for _, size := range []int{100 << 10, 300 << 10, 200 << 10, 2 << 20} {
		p.put(make([]byte, 0, size))
	}
	for _, tc := range []struct{ want, most, got int }{
		{150 << 10, 1 << 20, 200 << 10}, // the smallest that fits
		{150 << 10, 200 << 10, 0},       // it is taken
		{70 << 10, 140 << 10, 100 << 10},
		{1 << 20, 2 << 20, 2 << 20},
		{1 << 20, 2 << 20, 0},
	} {
		if got := cap(p.take(tc.want, tc.most)); got != tc.got {
			t.Errorf("take(%d, %d) has %d bytes, want %d", tc.want, tc.most, got, tc.got)
		}
	}
}

func TestFetchMemory(t *testing.T) {
	t.Parallel()
	m := fetchMemory{limit: 1 << 20}
	for _, tc := range []struct{ want, got int }{
		{600 << 10, 600 << 10},
		{600 << 10, 424 << 10}, // what is left
		{600 << 10, fetchFloor},
		{100, 100},
	} {
		if got := m.take(tc.want); got != tc.got {
			t.Errorf("take(%d) = %d, want %d", tc.want, got, tc.got)
		}
	}
	m.give(600 << 10)
	m.give(424 << 10)
	if got := m.take(2 << 20); got != 1<<20-fetchFloor-100 {
		t.Errorf("take(2 MiB) = %d, want what is left", got)
	}
	m.give(1<<20 - fetchFloor - 100)

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				m.give(m.take(300 << 10))
			}
		})
	}
	wg.Wait()
	if used := m.used.Load(); used != fetchFloor+100 {
		t.Errorf("%d bytes in use, want %d", used, fetchFloor+100)
	}
}

// What many requests take decoded beyond their share is limited for all of them
// together: the next one waits for its turn, for as long as a frame may take.
func TestDecodeMemoryIsShared(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &conn{ctx: t.Context(), b: &Broker{
			cfg:          Config{MaxDecodeMemoryBytes: 1000, FrameTimeout: time.Minute},
			decodeMemory: semaphore.NewWeighted(1000),
		}}
		req := kmsg.NewPtrMetadataRequest()
		reserve := func(excess, want int64) {
			t.Helper()
			got, err := c.reserveDecoded(req, excess)
			if got != want || (err != nil) != (want < excess && excess > 0) || err != nil && !errors.Is(err, errFrame) {
				t.Errorf("reserve %d: %d, %v, want %d", excess, got, err, want)
			}
		}
		reserve(-5, 0)
		reserve(1001, 0) // never
		reserve(600, 600)
		began := time.Now()
		reserve(500, 0)
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("it waited %v for the others, want FrameTimeout", waited)
		}
		time.AfterFunc(time.Second, func() { c.b.decodeMemory.Release(600) })
		reserve(500, 500)
	})
}
