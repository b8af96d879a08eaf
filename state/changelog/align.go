package changelog

import (
	"bytes"
	"slices"

	"github.com/riffle-stream/riffle/state"
)

// Aligned is where a restored task stands.
type Aligned struct {
	// Commit is the commit that the stores stand at, 0 if there was none: the
	// Marker.Complete of the task's next commit.
	Commit int64
	// NextCommit is the sequence of the task's next commit.
	NextCommit int64
	// StreamTimeMillis and Inputs are those of the commit: where the task goes on.
	StreamTimeMillis int64
	Inputs           []state.InputOffset
	// Repaired is the number of changes that a crashed incarnation left in the
	// changelogs without completing their commit. Their keys are in the open overlay
	// with the values of Commit, and go out with the task's next commit.
	Repaired int
}

// Align ends the restore of a task. It finds the last commit that is complete in
// all its stores, applies the changes up to it, sets the positions, and writes
// what has to be repaired into the open overlay. Each replayer has taken its
// partition to the end; there is one for each store of the task.
//
// It returns a [DoubtError] if a store lacks a commit that another one knows to be
// complete.
func Align(task state.Task, replayers []*Replayer) (Aligned, error) {
	a := Aligned{NextCommit: 1}
	var vouched int64
	for _, r := range replayers {
		if err := r.Apply(task); err != nil {
			return Aligned{}, err
		}
		a.NextCommit = max(a.NextCommit, r.highest+1)
		vouched = max(vouched, r.vouched)
	}
	ends := make(map[string]*placed, len(replayers))
	for _, r := range replayers {
		end := r.lastComplete(vouched, replayers)
		if end == nil {
			continue
		}
		ends[r.spec.Name] = end
		if end.Commit > a.Commit {
			a.Commit, a.StreamTimeMillis, a.Inputs = end.Commit, end.StreamTimeMillis, end.Inputs
		}
	}
	if err := agree(ends, replayers); err != nil {
		return Aligned{}, err
	}
	for _, r := range replayers {
		at := int64(-1)
		if end := ends[r.spec.Name]; end != nil {
			at = end.offset
		}
		repaired, err := r.finish(task, at)
		if err != nil {
			return Aligned{}, err
		}
		a.Repaired += repaired
	}
	return a, nil
}

// lastComplete returns the store's marker of the last complete commit that it took
// part in, nil if there is none. The store stands there, whatever commits of other
// stores came after. Commits up to vouched are complete by the word of a later
// marker or of local data, also if compaction has removed a marker of theirs; a
// newer one is if each of its stores has a marker. Stores that the task no longer has
// are not asked.
//
// An incomplete commit may have a sequence up to vouched, too, yet it is never the
// last one here: its marker stands behind data records, the next incarnation
// repairs those, and so has a marker here.
func (r *Replayer) lastComplete(vouched int64, all []*Replayer) *placed {
	for i := len(r.markers) - 1; i >= 0; i-- {
		if m := &r.markers[i]; m.Commit <= vouched || complete(&m.Marker, all) {
			return m
		}
	}
	return nil
}

func complete(m *Marker, all []*Replayer) bool {
	for _, r := range all {
		if slices.Contains(m.Stores, r.spec.Name) && r.of(m) == nil {
			return false
		}
	}
	return true
}

// agree checks that no store ends before a commit that it took part in and that
// another store knows to be complete.
func agree(ends map[string]*placed, all []*Replayer) error {
	for name, end := range ends {
		for _, r := range all {
			own := ends[r.spec.Name]
			if slices.Contains(end.Stores, r.spec.Name) && (own == nil || own.Commit < end.Commit) {
				return r.doubt("it takes part in commit %d, which store %q has, but its own changelog ends before", end.Commit, name)
			}
		}
	}
	return nil
}

// finish brings the store to the marker at end (-1: the empty state) and writes the
// keys of all records behind it again. It returns how many those were.
func (r *Replayer) finish(task state.Task, end int64) (int, error) {
	if err := r.applyBelow(task, end); err != nil {
		return 0, err
	}
	store, ok := task.Store(r.spec.Name)
	if !ok {
		return 0, &state.UnknownStoreError{Store: r.spec.Name}
	}
	for _, rec := range r.records {
		key := r.change(rec).Key
		value, found, err := store.Get(key)
		if err == nil && found {
			err = store.Put(key, bytes.Clone(value))
		} else if err == nil {
			err = store.Delete(key)
		}
		if err != nil {
			return 0, err
		}
	}
	return len(r.records), nil
}
