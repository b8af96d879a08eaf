package commitlog

import "errors"

// tail is the end of the active segment that is not flushed.
type tail struct {
	segment        *segment
	position, size int64 // where it begins and ends
	end            int64 // the offset behind it
}

// Flush makes all records durable that were appended before, in the log's own files. After a failure the
// log is fenced: a second fsync would report success, although the kernel has
// dropped what the first one could not write.
func (l *Log) Flush() error {
	l.flushMu.Lock()
	defer l.flushMu.Unlock()
	t, err := l.unflushed()
	switch {
	case err != nil:
		return err
	case l.syncedOffset() >= t.end:
		return nil
	}
	f, err := t.segment.acquire()
	if err != nil {
		return l.fence("flush "+t.segment.name(), err)
	}
	if err := errors.Join(f.Sync(), t.segment.release()); err != nil {
		return l.fence("flush "+t.segment.name(), err)
	}
	return l.noteFlushed(t, true)
}

// unflushed returns what is to be flushed, which may be nothing. The caller holds flushMu.
func (l *Log) unflushed() (tail, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	active := l.activeLocked()
	return tail{active, l.mu.position, active.size, l.mu.end}, l.errLocked()
}

// noteFlushed publishes that a tail is durable, by an fsync of the log's own files or, if not synced, in
// the journal. Then the checkpoint is left as it is: after a crash the journal has all that it does not know of. The caller holds
// flushMu.
func (l *Log) noteFlushed(t tail, synced bool) error {
	l.mu.Lock()
	if err := l.errLocked(); err != nil {
		l.mu.Unlock()
		return err // closed or fenced meanwhile
	}
	if synced {
		l.mu.synced = max(l.mu.synced, t.end)
	}
	if t.end > l.mu.flushed { // no roll came between
		l.mu.flushed, l.mu.position = t.end, t.size
	}
	l.mu.Unlock()
	l.watchers.wake()
	if !synced {
		return nil
	}

	l.checkpointMu.Lock()
	defer l.checkpointMu.Unlock()
	if err := l.checkpoint.write(l.currentCheckpoint(false)); err != nil {
		return l.fence("write checkpoint", err)
	}
	return nil
}

// unflushedBytes is how much of the active segment is not flushed.
func (l *Log) unflushedBytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.activeLocked().size - l.mu.position
}

// syncedOffset is the offset before which all records are on disk in the log's own files.
func (l *Log) syncedOffset() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.mu.synced
}

// syncTo returns when the records before an offset are on disk in the log's own files.
func (l *Log) syncTo(offset int64) error {
	if l.syncedOffset() >= offset {
		return nil
	}
	err := l.Flush()
	if l.syncedOffset() >= offset {
		return nil // it was closed, or fenced, after that
	}
	return err
}
