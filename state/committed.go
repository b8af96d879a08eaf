package state

import (
	"errors"
	"iter"
)

// ErrReadOnly means a write to a store that is only looked at.
var ErrReadOnly = errors.New("state: the store can only be read here")

// Committed returns a store as it was committed last, without the open writes. It can only be read. Like the store it
// belongs to the goroutine that uses the task.
func (l *Layers) Committed(store string) (Store, bool) {
	s, ok := l.byName[store]
	if !ok {
		return nil, false
	}
	return committed{&layerStore{task: l, index: s.index, shape: s.shape, open: &table{shape: s.shape}}}, true
}

// committed is a store without its open overlay.
type committed struct{ inner *layerStore }

func (c committed) Get(key []byte) ([]byte, bool, error)       { return c.inner.Get(key) }
func (c committed) Range(from, to []byte) iter.Seq2[KV, error] { return c.inner.Range(from, to) }
func (c committed) Put(_, _ []byte) error                      { return ErrReadOnly }
func (c committed) Delete([]byte) error                        { return ErrReadOnly }

// Scan implements [Scanner].
func (c committed) Scan(from, to []byte) Iterator { return c.inner.Scan(from, to) }
