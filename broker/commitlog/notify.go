package commitlog

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Notify makes the log send to c, without blocking, whenever the log end offset,
// the flushed offset or the log start offset moved, and when the log is fenced or
// closed. A channel with a capacity of one misses nothing that way, as long as its
// reader looks at the offsets after each value, and once after Notify. One channel
// may be given to many logs. End with StopNotify.
func (l *Log) Notify(c chan<- struct{}) { l.watchers.add(c) }

// StopNotify ends what Notify began; nothing is sent to c after it returns.
func (l *Log) StopNotify(c chan<- struct{}) { l.watchers.remove(c) }

// watchers are the channels of those who wait for a change. With nobody waiting,
// which is the usual case, a change costs one atomic load.
type watchers struct {
	count atomic.Int32
	mu    struct {
		sync.Mutex
		channels []chan<- struct{}
	}
}

func (w *watchers) add(c chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.channels = append(w.mu.channels, c)
	w.count.Store(int32(len(w.mu.channels)))
}

func (w *watchers) remove(c chan<- struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.mu.channels, c); i >= 0 {
		w.mu.channels = slices.Delete(w.mu.channels, i, i+1)
	}
	w.count.Store(int32(len(w.mu.channels)))
}

func (w *watchers) wake() {
	if w.count.Load() == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.mu.channels {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
