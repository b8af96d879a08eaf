package badgerstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/state"
)

// task is the database below the overlays of one task: a [state.Base].
type task struct {
	db         *DB
	id         state.TaskID
	specs      []state.Spec
	storeIDs   []uint32
	generation uint32
	prefixes   [][]byte // of the data, by store
	layers     *state.Layers
	closing    atomic.Bool // Close waits for the checkpoint that is being written

	// The task's goroutine reads through one transaction until the next commit, for
	// opening one costs as much as a read, or until a checkpoint has ended: the next
	// one displaces the overlay that held what the transaction does not see.
	reading *reading      // nil if there is none
	ended   atomic.Uint64 // checkpoints
	key     []byte
}

// reading is a transaction that is read in, with its iterators.
type reading struct {
	txn   *badger.Txn
	asOf  uint64 // checkpoints that had ended when it began
	over  bool   // nothing new is read in it
	inUse int    // iterators
	idle  []*iterator
}

// OpenTask opens the stores of a task. Stores whose data are in doubt, or were
// written with another layout, make the task be wiped: all its stores then stand at
// the zero position.
func (db *DB) OpenTask(id state.TaskID, specs []state.Spec) (state.Task, error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	switch {
	case db.mu.closed:
		return nil, state.ErrClosed
	case db.mu.tasks[id] != nil:
		return nil, fmt.Errorf("%w: %v", state.ErrTaskOpen, id)
	}
	t := &task{db: db, id: id, specs: specs}
	var err error
	if t.storeIDs, err = db.storeIDsLocked(specs); err != nil {
		return nil, err
	}
	positions, err := t.load()
	if err != nil {
		db.log.Warn("state: the local data of a task are thrown away, it is restored from the changelog",
			"task", id.String(), "reason", err)
		db.mu.stats.Wiped++
		positions = make([]state.Position, len(specs))
		if err := t.Wipe(); err != nil {
			return nil, err
		}
	}
	if t.layers, err = state.NewLayers(id, specs, positions, t); err != nil {
		return nil, err
	}
	if err := t.learnKeys(); err != nil {
		return nil, err
	}
	db.mu.tasks[id] = t
	db.openStores.Add(int64(len(specs)))
	return t.layers, nil
}

// load reads the task's generation and positions.
func (t *task) load() ([]state.Position, error) {
	positions := make([]state.Position, len(t.specs))
	generation, err := t.read(appendTaskKey(nil, kindGeneration, t.id))
	if err != nil {
		return nil, err
	}
	if generation != nil {
		if len(generation) != 4 {
			return nil, fmt.Errorf("%w: generation of %d bytes", state.ErrCorrupt, len(generation))
		}
		t.generation = binary.BigEndian.Uint32(generation)
	}
	t.setPrefixes()
	for i, spec := range t.specs {
		b, err := t.read(appendStoreKey(nil, kindPosition, t.id, t.generation, t.storeIDs[i]))
		switch {
		case err != nil:
			return nil, err
		case b == nil:
			continue
		case len(b) == 0 || state.Layout(b[0]) != spec.Layout():
			return nil, fmt.Errorf("store %q was declared otherwise when it was written", spec.Name)
		}
		if positions[i], err = state.ParsePosition(b[1:]); err != nil {
			return nil, err
		}
	}
	return positions, nil
}

// read returns a verified value, nil if there is none.
func (t *task) read(key []byte) (value []byte, err error) {
	err = t.db.badger.View(func(txn *badger.Txn) error {
		value, err = get(txn, key, []byte{})
		if errors.Is(err, badger.ErrKeyNotFound) {
			value = nil
			return nil
		}
		return err
	})
	return value, translate("read", err)
}

// get appends a verified value to dst.
func get(txn *badger.Txn, key, dst []byte) ([]byte, error) {
	item, err := txn.Get(key)
	if err != nil {
		return nil, err
	}
	if dst, err = item.ValueCopy(dst); err != nil {
		return nil, err
	}
	return verified(key, dst)
}

func (t *task) setPrefixes() {
	t.prefixes = t.prefixes[:0]
	for _, id := range t.storeIDs {
		t.prefixes = append(t.prefixes, appendStoreKey(nil, kindData, t.id, t.generation, id))
	}
}

// Get implements state.Base.
func (t *task) Get(store int, key, dst []byte) ([]byte, bool, error) {
	r := t.beginRead()
	t.key = append(append(t.key[:0], t.prefixes[store]...), key...)
	value, err := get(r.txn, t.key, dst)
	switch {
	case err == nil:
		return value, true, nil
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, false, nil
	}
	return nil, false, t.fault(store, "get", err)
}

// beginRead returns the transaction to read in.
func (t *task) beginRead() *reading {
	// Whoever does not find an overlay any more reads here after the end of its checkpoint.
	if ended := t.ended.Load(); t.reading == nil || t.reading.asOf != ended {
		t.endRead()
		t.reading = &reading{txn: t.db.badger.NewTransaction(false), asOf: ended}
	}
	return t.reading
}

// endRead ends the transaction, if there is one: while it lasts, Badger keeps every version that it could see, and
// the tables that its iterators go over.
func (t *task) endRead() {
	r := t.reading
	if r == nil {
		return
	}
	t.reading, r.over = nil, true
	for _, it := range r.idle {
		it.it.Close()
	}
	if r.inUse == 0 {
		r.txn.Discard()
	}
}

// fault translates an error of a read; after a corruption the database is distrusted.
func (t *task) fault(store int, op string, err error) error {
	err = translate(fmt.Sprintf("task %v store %s: %s", t.id, t.specs[store].Name, op), err)
	if errors.Is(err, state.ErrCorrupt) {
		t.db.distrust(err.Error())
	}
	return err
}

// Scan implements state.Base.
func (t *task) Scan(store int, from, to []byte) state.Iterator {
	it := t.iterator(store)
	prefix := t.prefixes[store]
	it.to, it.begun = nil, false
	if to != nil {
		it.end = append(append(it.end[:0], prefix...), to...)
		it.to = it.end
	}
	t.key = append(append(t.key[:0], prefix...), from...)
	it.it.Seek(t.key)
	return it
}

// iterator returns an iterator over a store. Making one costs more than a seek, so it is kept for the next range.
func (t *task) iterator(store int) *iterator {
	r := t.beginRead()
	r.inUse++
	for i, it := range r.idle {
		if it.store == store {
			r.idle = slices.Delete(r.idle, i, i+1)
			return it
		}
	}
	opts := badger.DefaultIteratorOptions
	opts.Prefix, opts.PrefetchValues = t.prefixes[store], false
	return &iterator{task: t, reading: r, store: store, prefix: len(opts.Prefix), it: r.txn.NewIterator(opts)}
}

// FilterBytes implements state.Base.
func (t *task) FilterBytes() int64 {
	if t.db.cfg.KeyFilterBytes < 0 {
		return -1
	}
	return t.db.cfg.KeyFilterBytes / max(1, t.db.openStores.Load())
}

// CacheBytes implements state.Base.
func (t *task) CacheBytes() int64 { return t.db.cfg.ReadCacheBytes / max(1, t.db.openStores.Load()) }

// Last implements state.Base.
func (t *task) Last(store int, to []byte) ([]byte, error) {
	prefix := t.prefixes[store]
	var last []byte
	err := t.db.badger.View(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix, opts.PrefetchValues, opts.Reverse = prefix, false, true
		it := txn.NewIterator(opts)
		defer it.Close()
		end := append(slices.Clone(prefix), to...)
		if to == nil {
			end = append(end, bytes.Repeat([]byte{0xff}, state.MaxKeyBytes-len(prefix))...)
		}
		it.Seek(end)
		if it.Valid() && to != nil && bytes.Equal(it.Item().Key(), end) {
			it.Next()
		}
		if it.Valid() {
			last = it.Item().KeyCopy(nil)[len(prefix):]
		}
		return nil
	})
	return last, translate("last", err)
}

// iterator is a [state.Iterator] over a store.
type iterator struct {
	task    *task
	reading *reading
	store   int
	prefix  int    // bytes before the store's own key
	to      []byte // with the prefix; nil for no bound
	end     []byte // buffer of to
	it      *badger.Iterator
	begun   bool
	key     []byte
	value   []byte
}

func (it *iterator) Next() (state.KV, bool, error) {
	if it.begun {
		it.it.Next()
	}
	it.begun = true
	if !it.it.Valid() {
		it.begun = false
		return state.KV{}, false, nil
	}
	item := it.it.Item()
	it.key = item.KeyCopy(it.key)
	if it.to != nil && string(it.key) >= string(it.to) {
		it.begun = false
		return state.KV{}, false, nil
	}
	b, err := item.ValueCopy(it.value)
	if err == nil {
		it.value = b
		b, err = verified(it.key, b)
	}
	if err != nil {
		return state.KV{}, false, it.task.fault(it.store, "range", err)
	}
	return state.KV{Key: it.key[it.prefix:], Value: b}, true, nil
}

func (it *iterator) Close() {
	r := it.reading
	r.inUse--
	if !r.over {
		r.idle = append(r.idle, it)
		return
	}
	it.it.Close()
	if r.inUse == 0 {
		r.txn.Discard()
	}
}

// Wipe implements state.Base: a new generation, and the old one is left to the sweep.
func (t *task) Wipe() error {
	t.endRead()
	b := t.db.writer.batch()
	err := errors.Join(
		b.set(appendTaskKey(nil, kindGeneration, t.id), binary.BigEndian.AppendUint32(nil, t.generation+1)),
		b.set(appendGenerationKey(nil, kindWipe, t.id, t.generation), nil),
	)
	if err != nil {
		b.txn.Discard()
	} else {
		err = t.db.writer.write(b)
	}
	if err != nil {
		return translate(fmt.Sprintf("wipe task %v", t.id), err)
	}
	t.generation++
	t.setPrefixes()
	select {
	case t.db.sweep <- struct{}{}:
	default:
	}
	return nil
}

// Close implements state.Base.
func (t *task) Close() error {
	t.endRead()
	t.closing.Store(true)
	err := t.db.checkpoint(t)
	if errors.Is(err, ErrNoSpace) {
		err = nil // said already; the changelog has it
	}
	t.db.openStores.Add(-int64(len(t.specs)))
	t.db.forget(t.id, t.layers.Retire())
	return err
}
