package badgerstore

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/internal/failpoint"
	"github.com/riffle-stream/riffle/state"
)

// noticeEvery is how often a lack of disk space is logged, retryEvery how often it is
// looked at again.
const (
	noticeEvery = time.Minute
	retryEvery  = time.Second
)

// maxRest is how long a checkpoint pauses at most between two batches.
const maxRest = 50 * time.Millisecond

// Grew implements state.Base: it accounts for what a commit adds, starts a checkpoint
// when enough has come together, and waits while there is twice as much.
func (t *task) Grew(bytes int64) error {
	t.endRead()
	db := t.db
	db.mu.Lock()
	defer db.mu.Unlock()
	db.mu.dirty += bytes
	if bytes < 0 {
		db.mu.room.Broadcast()
		return nil
	}
	if db.mu.dirty >= db.cfg.CheckpointBytes {
		select {
		case db.wake <- struct{}{}:
		default:
		}
	}
	if db.mu.dirty < 2*db.cfg.CheckpointBytes {
		return db.mu.failed
	}
	start := time.Now()
	for db.mu.dirty >= 2*db.cfg.CheckpointBytes && db.mu.failed == nil && !db.mu.closed {
		db.mu.room.Wait()
	}
	db.mu.stats.CommitWaitSeconds += time.Since(start).Seconds()
	if db.mu.closed {
		return state.ErrClosed
	}
	return db.mu.failed
}

// runCheckpoints makes checkpoints by size and by age until the database closes.
func (db *DB) runCheckpoints() {
	age := time.NewTicker(db.cfg.CheckpointAge)
	defer age.Stop()
	retry := time.NewTimer(retryEvery)
	defer retry.Stop()
	for {
		left := db.cfg.CheckpointBytes / 2 // go on until no more than that waits
		select {
		case <-db.closing:
			return
		case <-db.wake:
		case <-retry.C:
			if !db.Stats().Paused {
				continue
			}
		case <-age.C:
			left = -1
		}
		db.checkpointUntil(left)
		if db.Stats().Paused {
			retry.Reset(retryEvery)
		}
	}
}

// checkpointUntil makes checkpoints of tasks, those with most to write first, until
// no more than left bytes wait.
func (db *DB) checkpointUntil(left int64) {
	db.setPace()
	db.mu.Lock()
	var tasks []*task
	for _, t := range db.mu.tasks {
		tasks = append(tasks, t)
	}
	db.mu.Unlock()
	slices.SortFunc(tasks, func(a, b *task) int {
		return cmp.Compare(b.layers.DirtyBytes(), a.layers.DirtyBytes())
	})
	for _, t := range tasks {
		select {
		case <-db.closing:
			return
		default:
		}
		if db.Stats().DirtyBytes <= left {
			return
		}
		if err := db.checkpoint(t); err != nil {
			return // paused or failed, and said so
		}
	}
}

// setPace lets a run of checkpoints take half as long as what it writes took to come together. All at once it would
// take the disk and the processors from those who wait for a commit.
func (db *DB) setPace() {
	db.mu.Lock()
	defer db.mu.Unlock()
	now := time.Now()
	db.mu.pace = now.Sub(db.mu.lastRun).Seconds() / 2 / float64(max(db.mu.dirty, 1))
	db.mu.lastRun = now
}

// rest pauses after some bytes of a run, unless somebody waits for the checkpoint, or it falls behind.
func (db *DB) rest(t *task, bytes int) {
	db.mu.Lock()
	behind, pause := db.mu.dirty >= db.cfg.CheckpointBytes*3/2, db.mu.pace*float64(bytes)
	db.mu.Unlock()
	if behind || t.closing.Load() {
		return
	}
	timer := time.NewTimer(min(time.Duration(pause*float64(time.Second)), maxRest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-db.closing:
	}
}

// checkpoint writes what is committed of a task. After an error of the disk nothing
// is written any more: commits return it.
func (db *DB) checkpoint(t *task) error {
	if err := db.usable(); err != nil {
		return err
	}
	start := time.Now()
	var noSpace error
	written, err := t.layers.Checkpoint(func(f *state.Frozen) error {
		if noSpace = db.checkSpace(f.Bytes()); noSpace != nil {
			return noSpace
		}
		return t.write(f)
	})
	if noSpace != nil {
		db.pause(noSpace)
		return noSpace
	}
	db.mu.Lock()
	defer db.mu.Unlock()
	if err != nil {
		err = translate(fmt.Sprintf("checkpoint of task %v", t.id), err)
		db.mu.failed = err
		db.mu.room.Broadcast()
		db.log.Error("state: a checkpoint failed: no more commits until the next start", "dir", db.dir, "error", err)
		return err
	}
	if db.mu.stats.Paused {
		db.mu.stats.Paused = false
		db.log.Info("state: there is disk space again, checkpoints go on", "dir", db.dir)
	}
	if written > 0 {
		db.mu.stats.Checkpoints++
		db.mu.stats.CheckpointedBytes += written
		db.mu.stats.CheckpointSeconds += time.Since(start).Seconds()
	}
	db.mu.dirty -= written
	db.mu.room.Broadcast()
	return nil
}

func (db *DB) usable() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return db.mu.failed
}

// write brings a frozen overlay into the database: the data in batches, and when
// those are on disk, the positions.
func (t *task) write(f *state.Frozen) error {
	p := t.db.writer.pipeline()
	defer p.discard()
	for i, prefix := range t.prefixes {
		for c := range f.Changes(i) {
			sent, err := p.change(prefix, c)
			if err != nil {
				_ = p.wait()
				return err
			}
			if sent > 0 {
				t.db.rest(t, sent)
			}
		}
	}
	if p.batch.count > 0 {
		_ = p.send()
	}
	if err := p.wait(); err != nil {
		return err
	}
	failpoint.Hit("checkpoint-data")
	last := t.db.writer.batch()
	defer last.txn.Discard()
	for i, spec := range t.specs {
		key := appendStoreKey(nil, kindPosition, t.id, t.generation, t.storeIDs[i])
		value := state.AppendPosition([]byte{byte(spec.Layout())}, f.Position(i))
		if err := last.set(key, value); err != nil {
			return err
		}
	}
	if err := t.db.writer.write(last); err != nil {
		return err
	}
	failpoint.Hit("checkpoint-positions")
	t.ended.Add(1)
	return nil
}

// checkSpace returns an error that matches ErrNoSpace if the disk has not enough room
// for writing the bytes given: they are in the log and in tables, and compaction
// writes tables anew before it drops the old ones.
func (db *DB) checkSpace(bytes int64) error {
	free, err := db.free()
	if err != nil {
		return fmt.Errorf("badgerstore: free disk space of %s: %w", db.dir, err)
	}
	want := uint64(max(db.cfg.MinFreeBytes, 2*(bytes+2*db.cfg.MemTableBytes)))
	if free >= want {
		return nil
	}
	return fmt.Errorf("%w: %s has %d MiB, a checkpoint needs %d MiB: make room; nothing is lost meanwhile",
		ErrNoSpace, db.dir, free>>20, want>>20)
}

// pause notes that there is no space for a checkpoint.
func (db *DB) pause(err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.mu.stats.Paused = true
	if now := time.Now(); now.Sub(db.mu.noticed) >= noticeEvery {
		db.mu.noticed = now
		db.log.Error("state: checkpoints pause", "error", err)
	}
}

// forget takes a closed task out of the accounts, with the bytes that a last
// checkpoint did not take.
func (db *DB) forget(id state.TaskID, dirty int64) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.mu.tasks, id)
	db.mu.dirty -= dirty
	db.mu.room.Broadcast()
}
