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
