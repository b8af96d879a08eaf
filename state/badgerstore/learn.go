package badgerstore

import (
	"bytes"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/state"
)

// learnStep is how many keys are read at a time to learn which there are; then it rests for learnRest times as long as that took. Until all
// are read, the database is asked for every key, as it would be without.
const (
	learnStep = 16 << 10
	learnRest = 3
)

// learnKeys tells the layers which keys the stores have: at once of those that are empty, and in the background of the others.
// The caller holds mu.
func (t *task) learnKeys() error {
	if t.db.cfg.KeyFilterBytes < 0 {
		return nil
	}
	for i, prefix := range t.prefixes {
		last, err := t.Last(i, nil)
		if err != nil {
			return err
		}
		if last == nil {
			t.layers.Had(i, &state.KeyFilter{})
			continue
		}
		t.db.done.Go(func() { t.learn(i, bytes.Clone(prefix)) })
	}
	return nil
}

// learn reads the keys of a store that has some. It gives up where one cannot be read: whoever wants it will hear of it.
func (t *task) learn(store int, prefix []byte) {
	var keys state.KeyFilter
	for from := prefix; ; {
		start := time.Now()
		next, err := t.learnFrom(&keys, store, prefix, from)
		if err != nil {
			return
		}
		if next == nil {
			t.layers.Had(store, &keys)
			t.db.mu.Lock()
			t.db.mu.stats.Learned++
			t.db.mu.Unlock()
			return
		}
		from = next
		if !t.db.pauseFor(learnRest*time.Since(start)) || t.closing.Load() {
			return
		}
	}
}

// learnFrom adds some keys, and returns the one to go on with, nil if there is none.
func (t *task) learnFrom(keys *state.KeyFilter, store int, prefix, from []byte) (next []byte, err error) {
	err = t.db.badger.View(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.PrefetchValues, opts.Prefix = false, prefix
		it := txn.NewIterator(opts)
		defer it.Close()
		n := 0
		for it.Seek(from); it.Valid(); it.Next() {
			key := it.Item().Key()
			if n++; n > learnStep {
				next = bytes.Clone(key)
				return nil
			}
			if own := key[len(prefix):]; t.specs[store].LooksUp(own) {
				keys.Add(own, t.FilterBytes()*3/4)
			}
		}
		return nil
	})
	return next, err
}

// pauseFor waits, and reports whether the database is still open then.
func (db *DB) pauseFor(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-db.closing:
		return false
	}
}
