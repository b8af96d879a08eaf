package commitlog

import "errors"

// Flush makes all records durable that were appended before. After a failure the
// log is fenced: a second fsync would report success, although the kernel has
// dropped what the first one could not write.
func (l *Log) Flush() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	l.mu.RLock()
	err := l.errLocked()
	active, position, end, flushed := l.activeLocked(), l.activeLocked().size, l.mu.end, l.mu.flushed
	l.mu.RUnlock()
	switch {
	case err != nil:
		return err
	case flushed >= end:
		return nil
	}
	f, err := active.acquire()
	if err != nil {
		return l.fence("flush "+active.name(), err)
	}
	if err := errors.Join(f.Sync(), active.release()); err != nil {
		return l.fence("flush "+active.name(), err)
	}
	l.mu.Lock()
	if err := l.errLocked(); err != nil {
		l.mu.Unlock()
		return err // closed or fenced meanwhile
	}
	if end > l.mu.flushed { // no roll came between
		l.mu.flushed, l.mu.position = end, position
	}
	l.mu.Unlock()
	l.watchers.wake()

	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	if err := l.checkpoint.write(l.currentCheckpoint(false)); err != nil {
		return l.fence("write checkpoint", err)
	}
	return nil
}
