package state

import (
	"bytes"
	"fmt"
	"sync"
)

// memoryDirtyBytes is how much a memory task commits before it is folded into its
// base.
const memoryDirtyBytes = 1 << 20

// NewMemory returns a backend that keeps everything in memory.
func NewMemory() *Memory {
	m := &Memory{}
	m.mu.tasks = make(map[TaskID]*memoryTask)
	return m
}

// Memory is a [Backend] in memory, in the same layers as one on disk. The data of a
// task outlive the task, not the backend: OpenTask finds what was committed before.
type Memory struct {
	mu struct {
		sync.Mutex
		tasks   map[TaskID]*memoryTask
		closed  bool
		crashed bool
	}
}

// Crash makes open tasks, and those that are opened before Restart, lose what they
// would have kept: their data stay what they were at the last checkpoint, which is
// the last close of the task, or a mebibyte of writes ago.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.crashed = true
}

// Restart ends what Crash began, when no task is open any more.
func (m *Memory) Restart() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.crashed = false
}

func (m *Memory) isCrashed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.crashed
}

// memoryTask keeps the stores of a task, also of those that it is not open with.
type memoryTask struct {
	backend *Memory
	stores  map[string]*memoryStore
	open    *Layers        // nil if the task is closed
	order   []*memoryStore // as it was opened
	free    []*memoryIterator
}

type memoryStore struct {
	table    *table
	position Position // guarded by Memory.mu
}

// OpenTask implements [Backend].
func (m *Memory) OpenTask(id TaskID, specs []Spec) (Task, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return nil, ErrClosed
	}
	t := m.mu.tasks[id]
	if t == nil {
		t = &memoryTask{backend: m, stores: make(map[string]*memoryStore)}
		m.mu.tasks[id] = t
	}
	if t.open != nil {
		return nil, fmt.Errorf("%w: %v", ErrTaskOpen, id)
	}
	t.order = nil
	var positions []Position
	for _, spec := range specs {
		s := t.stores[spec.Name]
		if s == nil {
			s = &memoryStore{table: &table{shape: spec.shape()}}
			t.stores[spec.Name] = s
		}
		t.order = append(t.order, s)
		positions = append(positions, s.position)
	}
	l, err := NewLayers(id, specs, positions, t)
	if err != nil {
		return nil, err
	}
	t.open = l
	return l, nil
}

// Local implements [Backend].
func (m *Memory) Local() map[TaskID]map[string]Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	local := make(map[TaskID]map[string]Position)
	for id, t := range m.mu.tasks {
		for name, s := range t.stores {
			if s.position.IsZero() {
				continue
			}
			if local[id] == nil {
				local[id] = make(map[string]Position)
			}
			local[id][name] = s.position
		}
	}
	return local
}

// Close implements [Backend].
func (m *Memory) Close() error {
	m.mu.Lock()
	m.mu.closed = true
	var open []*Layers
	for _, t := range m.mu.tasks {
		if t.open != nil {
			open = append(open, t.open)
		}
	}
	m.mu.Unlock()
	for _, l := range open {
		if err := l.Close(); err != nil {
			return err
		}
	}
	return nil
}

func (t *memoryTask) Get(store int, key, _ []byte) ([]byte, bool, error) {
	value, state := t.order[store].table.get(hashOf(key), key)
	return value, state == present, nil
}

func (t *memoryTask) Scan(store int, from, to []byte) Iterator {
	var it *memoryIterator
	if n := len(t.free); n > 0 {
		it, t.free = t.free[n-1], t.free[:n-1]
	} else {
		it = &memoryIterator{task: t}
	}
	table := t.order[store].table
	r := table.shape.span(from, to)
	it.cursor.open(table, &r)
	it.to = to
	return it
}

// Last implements Base.
func (t *memoryTask) Last(store int, to []byte) ([]byte, error) {
	table := t.order[store].table
	table.index(indexClass)
	table.index(entryClass)
	ref := table.last(entryClass)
	if ref < 0 || to != nil && bytes.Compare(table.key(ref), to) >= 0 {
		ref = table.last(indexClass)
	}
	if ref < 0 {
		return nil, nil
	}
	return table.key(ref), nil
}

// CacheBytes implements Base.
func (t *memoryTask) CacheBytes() int64 { return 0 }

// FilterBytes implements Base: a look into a table costs no more than one into a filter.
func (t *memoryTask) FilterBytes() int64 { return -1 }

type memoryIterator struct {
	task   *memoryTask
	cursor cursor
	to     []byte
}

func (it *memoryIterator) Next() (KV, bool, error) {
	for it.cursor.ref >= 0 {
		key, value := it.cursor.table.at(it.cursor.ref)
		if it.to != nil && bytes.Compare(key, it.to) >= 0 {
			break
		}
		it.cursor.next()
		if value != nil {
			return KV{key, value}, true, nil
		}
	}
	it.cursor.close()
	return KV{}, false, nil
}

func (it *memoryIterator) Close() {
	it.cursor.close()
	it.task.free = append(it.task.free, it)
}

func (t *memoryTask) Grew(bytes int64) error {
	if bytes < 0 || t.open.DirtyBytes() < memoryDirtyBytes {
		return nil
	}
	return t.fold()
}

// fold is the checkpoint of a memory task: into its base, at once.
func (t *memoryTask) fold() error {
	if t.backend.isCrashed() {
		return nil
	}
	_, err := t.open.Checkpoint(func(f *Frozen) error {
		for i, s := range t.order {
			for c := range f.Changes(i) {
				s.table.set(hashOf(c.Key), c.Key, c.Value)
			}
			s.table = s.table.compacted()
			t.backend.mu.Lock()
			s.position = f.Position(i)
			t.backend.mu.Unlock()
		}
		return nil
	})
	return err
}

func (t *memoryTask) Wipe() error {
	t.backend.mu.Lock()
	defer t.backend.mu.Unlock()
	for _, s := range t.order {
		*s = memoryStore{table: &table{shape: s.table.shape}}
	}
	return nil
}

func (t *memoryTask) Close() error {
	if err := t.fold(); err != nil {
		return err
	}
	t.backend.mu.Lock()
	defer t.backend.mu.Unlock()
	t.open = nil
	return nil
}
