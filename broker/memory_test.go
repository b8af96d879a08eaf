package broker

import (
	"sync"
	"testing"
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
