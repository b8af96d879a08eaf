package worker

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// littleTime and littleBytes are work that is done before another goroutine has begun with it, and has grown its stack.
	littleTime  = 300 * time.Microsecond
	littleBytes = 32 << 10
)

// parallel calls f with 0 to n-1, by up to limit goroutines. One of them is the caller's.
func parallel(n, limit int, f func(i int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			errs[i] = f(i)
		}
	}
	var others sync.WaitGroup
	for range min(n, limit) - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
	return errors.Join(errs...)
}
