package state

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Layers is a task over a [Base]: the overlays that all backends share.
//
//	open       what was written since the last commit
//	committed  what was committed and is not in the base
//	frozen     the committed overlay of the last checkpoint: being written to the
//	           base or, after that, kept to answer reads of what is hot
//	base
//
// One goroutine uses it as a [Task]. Checkpoint and DirtyBytes may be called from
// others meanwhile. The overlays below the open one are swapped as a whole, through
// one atomic pointer, so that reads take no lock.
type Layers struct {
	id     TaskID
	base   Base
	stores []*layerStore
	byName map[string]*layerStore
	closed bool
	// commits counts what changed below the open overlays: commits, restores, wipes.
	commits uint64

	layers atomic.Pointer[layerSet]
	dirty  atomic.Int64

	// checkpoint is held while a checkpoint is written: by Checkpoint, and by what
	// must not run beside it.
	checkpoint sync.Mutex
	retired    bool // guarded by checkpoint

	mu struct {
		sync.Mutex            // guards the committed tables against Checkpoint
		positions  []Position // of the committed overlay
		moved      bool       // positions differ from those of the last checkpoint
		pending    *Frozen    // frozen and not yet in the base
	}
}

// layerSet is what lies between the open overlay and the base.
type layerSet struct {
	committed []*table // by store
	frozen    []*table // nil before the first checkpoint
	horizons  []horizon
	epoch     uint64 // counts the overlays that went
}

// NewLayers returns a task over base, whose stores stand at the positions given.
func NewLayers(id TaskID, specs []Spec, positions []Position, base Base) (*Layers, error) {
	l := &Layers{id: id, base: base, byName: make(map[string]*layerStore, len(specs))}
	for i, spec := range specs {
		if spec.Err != nil {
			return nil, spec.Err
		}
		if _, taken := l.byName[spec.Name]; taken {
			return nil, fmt.Errorf("state: task %v names store %q twice", id, spec.Name)
		}
		s := &layerStore{task: l, index: i, shape: spec.shape(), open: &table{shape: spec.shape()}, base: baseRead{cache: &readCache{}}}
		l.stores = append(l.stores, s)
		l.byName[spec.Name] = s
	}
	l.mu.positions = append(make([]Position, 0, len(specs)), positions...)
	horizons, err := horizonsOf(specs, base)
	if err != nil {
		return nil, err
	}
	l.layers.Store(&layerSet{committed: l.newTables(), horizons: horizons})
	return l, nil
}

// horizonsOf finds the horizons of a base that was written before. An entry with a time has one in the index at that time or
// later, so the last key of the index is the horizon of both. What a checkpoint that did not end has done to either is in the
// changelog, and moves the horizon when it is restored.
func horizonsOf(specs []Spec, base Base) ([]horizon, error) {
	horizons := make([]horizon, len(specs))
	for i, spec := range specs {
		shape := spec.shape()
		if shape == plain {
			continue
		}
		last, err := base.Last(i, []byte{prefixEntry})
		if err != nil {
			return nil, err
		}
		if last == nil {
			if last, err = base.Last(i, nil); last == nil && err == nil {
				continue // it is empty
			}
		}
		_, at, ok := shape.time(last)
		if err != nil {
			return nil, err
		}
		if !ok || shape.class(last) != indexClass {
			at = math.MaxUint64
		}
		horizons[i] = horizon{at, at}
	}
	return horizons, nil
}

func (l *Layers) newTables() []*table {
	tables := make([]*table, len(l.stores))
	for i, s := range l.stores {
		tables[i] = &table{shape: s.shape}
	}
	return tables
}

// ID names the task.
func (l *Layers) ID() TaskID { return l.id }

// Store returns a store of the task.
func (l *Layers) Store(name string) (Store, bool) {
	s, ok := l.byName[name]
	if !ok {
		return nil, false
	}
	return s, true
}

// Position is what the committed data of a store stand for.
func (l *Layers) Position(store string) Position {
	s, ok := l.byName[store]
	if !ok {
		return Position{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.positions[s.index]
}

// SetPosition says what the restored data of a store stand for.
func (l *Layers) SetPosition(store string, p Position) {
	if s, ok := l.byName[store]; ok {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.mu.positions[s.index] = p
		l.mu.moved = true
	}
}

// Changes yields the open writes of a store in the order of their first writes.
func (l *Layers) Changes(store string) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		s, ok := l.byName[store]
		if !ok {
			return
		}
		for ref := 0; ref < s.open.len(); ref++ {
			key, value := s.open.at(ref)
			if !yield(Change{Key: key, Value: value}) {
				return
			}
		}
	}
}

// OpenBytes is about the size of the open overlay.
func (l *Layers) OpenBytes() (n int64) {
	for _, s := range l.stores {
		n += s.open.size()
	}
	return n
}

// Restore applies changes below the open overlay.
func (l *Layers) Restore(store string, changes []Change) error {
	s, ok := l.byName[store]
	switch {
	case l.closed:
		return ErrClosed
	case !ok:
		return &UnknownStoreError{Store: store}
	}
	s.scratch.sweep = sweepState{}
	return l.base.Grew(l.grow(func(committed []*table) {
		t := committed[s.index]
		for _, c := range changes {
			hash := hashOf(c.Key)
			t.set(hash, c.Key, c.Value)
			s.note(hash, c.Key)
		}
		l.restoredLocked(s.index, changes)
	}))
}

// restoredLocked moves the horizon of a store behind changes that the base may have, in part, from a checkpoint that did not end.
func (l *Layers) restoredLocked(store int, changes []Change) {
	set := *l.layers.Load()
	shape := set.committed[store].shape
	if shape == plain {
		return
	}
	var seen [classes]times
	for _, c := range changes {
		if class, at, ok := shape.time(c.Key); ok {
			seen[class].add(at, true)
		}
	}
	set.horizons = slices.Clone(set.horizons)
	set.horizons[store].raise(&seen)
	l.layers.Store(&set)
}

// Commit folds the open overlay into the committed one and moves the stores to the
// positions given; a store without one stays where it stands.
func (l *Layers) Commit(positions map[string]Position) error {
	if l.closed {
		return ErrClosed
	}
	for name := range positions {
		if _, ok := l.byName[name]; !ok {
			return &UnknownStoreError{Store: name}
		}
	}
	grew := l.grow(func(committed []*table) {
		for _, s := range l.stores {
			committed[s.index].fold(s.open, s.note)
			s.open.reset()
		}
		for name, p := range positions {
			l.mu.positions[l.byName[name].index] = p
			l.mu.moved = true
		}
	})
	return l.base.Grew(grew)
}

// grow changes the committed tables while no checkpoint can take them, and returns
// by how many bytes they grew.
func (l *Layers) grow(change func(committed []*table)) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	committed := l.layers.Load().committed
	before := size(committed)
	l.commits++
	change(committed)
	grew := size(committed) - before
	l.dirty.Add(grew)
	return grew
}

func size(tables []*table) (n int64) {
	for _, t := range tables {
		n += t.size()
	}
	return n
}

// Abort drops the open overlay.
func (l *Layers) Abort() {
	for _, s := range l.stores {
		s.open.reset()
		s.looked.forget()
		s.scratch.sweep = sweepState{}
	}
}

// Had says which keys a store of the base had when the task was opened, or more. Until then the base is asked for all keys that no
// overlay has; from then on not for those that are neither among these nor were committed since. It may be called from any goroutine, while the task is in use.
func (l *Layers) Had(store int, keys *KeyFilter) { l.stores[store].had.Store(keys) }

// DirtyBytes is about the size of what is committed and not in the base.
func (l *Layers) DirtyBytes() int64 { return l.dirty.Load() }

// Checkpoint freezes the committed overlay and calls write, which brings it into
// the base, the positions last. If write fails the overlay stays what it is, and
// the next checkpoint writes it again, before anything newer. Without anything to
// write it does nothing. It returns how many bytes the task has less to write.
func (l *Layers) Checkpoint(write func(*Frozen) error) (int64, error) {
	l.checkpoint.Lock()
	defer l.checkpoint.Unlock()
	if l.retired {
		return 0, nil
	}
	f := l.freeze()
	if f == nil {
		return 0, nil
	}
	if err := write(f); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.mu.pending = nil
	l.mu.Unlock()
	l.dirty.Add(-f.bytes)
	return f.bytes, nil
}

func (l *Layers) freeze() *Frozen {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.pending != nil {
		return l.mu.pending
	}
	last := l.layers.Load()
	committed := last.committed
	horizons := slices.Clone(last.horizons)
	for i, t := range last.frozen {
		horizons[i].raise(&t.times) // from now on only the base has them
	}
	f := &Frozen{
		tables:    committed,
		horizons:  horizons,
		positions: append([]Position(nil), l.mu.positions...),
		bytes:     size(committed),
	}
	if f.Len() == 0 && !l.mu.moved {
		return nil
	}
	l.mu.pending = f
	l.mu.moved = false
	l.layers.Store(&layerSet{committed: l.newTables(), frozen: committed, horizons: horizons, epoch: last.epoch + 1})
	return f
}

// Retire ends checkpoints for good, once one that is being written has ended, and
// returns how many bytes were not written. A base calls it when the task closes: a
// late checkpoint must not meet the task's next opening.
func (l *Layers) Retire() int64 {
	l.checkpoint.Lock()
	defer l.checkpoint.Unlock()
	l.retired = true
	return l.dirty.Swap(0)
}

// Wipe empties the stores and resets their positions.
func (l *Layers) Wipe() error {
	if l.closed {
		return ErrClosed
	}
	l.checkpoint.Lock()
	defer l.checkpoint.Unlock()
	l.Abort()
	freed := l.forget()
	if err := l.base.Wipe(); err != nil {
		return err
	}
	return l.base.Grew(-freed)
}

// forget drops everything above the base and returns how many bytes that were not
// in it.
func (l *Layers) forget() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commits++
	for _, s := range l.stores {
		s.written = KeyFilter{}
		s.had.Store(&KeyFilter{})
	}
	clear(l.mu.positions)
	l.mu.moved = false
	l.mu.pending = nil
	l.layers.Store(&layerSet{committed: l.newTables(), horizons: make([]horizon, len(l.stores)), epoch: l.layers.Load().epoch + 1})
	return l.dirty.Swap(0)
}

// Close drops what is not committed and closes the base's task, which writes a last
// checkpoint.
func (l *Layers) Close() error {
	if l.closed {
		return nil
	}
	l.Abort()
	l.closed = true
	return l.base.Close()
}
