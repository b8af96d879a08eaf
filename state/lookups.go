package state

import "bytes"

// lookups remember the last look-ups in the overlays of a store. Whoever puts a key has often looked it up just before, layers above
// the store look again, and then it is written: each time it is the same way through three tables.
//
// What a look-up found holds until the next commit, or until the open overlay is dropped.
type lookups struct {
	last    [4]lookedUp
	next    int    // of them to give way
	commits uint64 // of the task
}

// lookedUp is where a key was found.
type lookedUp struct {
	known bool
	hash  uint64
	key   []byte
	ref   int    // in the open overlay, -1 if it is not there
	value []byte // a view
	in    lookup // absent if no overlay has the key
}

// find returns what is remembered of a key, nil if there is nothing. The next add may change it. commits are those of the task.
func (l *lookups) find(commits, hash uint64, key []byte) *lookedUp {
	if l.commits != commits {
		l.commits = commits
		l.forget()
	}
	for i := range l.last {
		if e := &l.last[i]; e.known && e.hash == hash && bytes.Equal(e.key, key) {
			return e
		}
	}
	return nil
}

// add returns a place for what is found of a key.
func (l *lookups) add(hash uint64, key []byte) *lookedUp {
	e := &l.last[l.next]
	l.next = (l.next + 1) % len(l.last)
	e.known, e.hash, e.key = true, hash, append(e.key[:0], key...)
	return e
}

// forget is called when the open overlay is emptied.
func (l *lookups) forget() {
	for i := range l.last {
		l.last[i].known, l.last[i].value = false, nil
	}
}
