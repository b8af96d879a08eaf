package badgerstore

import (
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/state"
)

// sweepEntries is how many keys of an old generation one batch deletes.
const sweepEntries = 500

// errClosing ends a sweep that Close interrupts; the next open goes on with it.
var errClosing = errors.New("badgerstore: closing")

// runSweeps removes old generations until the database closes. Badger's DropPrefix
// stops the world and has lost writes.
func (db *DB) runSweeps() {
	for {
		select {
		case <-db.closing:
			return
		case <-db.sweep:
		}
		if err := db.sweepAll(); err != nil && !errors.Is(err, errClosing) {
			db.log.Warn("state: old data are not removed, the next start tries again", "dir", db.dir, "error", err)
		}
	}
}

func (db *DB) sweepAll() error {
	var wipes [][]byte
	err := db.scan([]byte{kindWipe}, func(key, _ []byte) error {
		wipes = append(wipes, append([]byte{}, key...))
		return nil
	})
	if err != nil {
		return translate("list old generations", err)
	}
	for _, key := range wipes {
		id, generation, err := parseGenerationKey(key)
		if err != nil {
			return err
		}
		if err := db.sweepGeneration(id, generation); err != nil {
			return translateSweep(id, err)
		}
	}
	return nil
}

func translateSweep(id state.TaskID, err error) error {
	if errors.Is(err, errClosing) {
		return err
	}
	return translate(fmt.Sprintf("remove old data of task %v", id), err)
}

// sweepGeneration deletes the data, the positions and then the note that they are to
// be deleted.
func (db *DB) sweepGeneration(id state.TaskID, generation uint32) error {
	for _, kind := range []byte{kindData, kindPosition} {
		prefix := appendGenerationKey(nil, kind, id, generation)
		for from := prefix; from != nil; {
			select {
			case <-db.closing:
				return errClosing
			default:
			}
			var err error
			if from, err = db.deleteSome(prefix, from); err != nil {
				return err
			}
		}
	}
	b := db.writer.batch()
	if err := b.del(appendGenerationKey(nil, kindWipe, id, generation)); err != nil {
		b.txn.Discard()
		return err
	}
	return db.writer.write(b)
}

// deleteSome deletes up to sweepEntries keys with the prefix, the first of them at or
// after from, and returns where to go on, nil at the end. Beginning anew each time
// would walk over all that is deleted already.
func (db *DB) deleteSome(prefix, from []byte) (next []byte, err error) {
	if err := db.checkSpace(0); err != nil {
		return nil, err
	}
	b := db.writer.batch()
	err = db.badger.View(func(txn *badger.Txn) error {
		opts := badger.DefaultIteratorOptions
		opts.Prefix, opts.PrefetchValues = prefix, false
		it := txn.NewIterator(opts)
		defer it.Close()
		for it.Seek(from); it.Valid(); it.Next() {
			key := it.Item().KeyCopy(nil)
			if b.count == sweepEntries {
				next = key
				return nil
			}
			if err := b.del(key); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || b.count == 0 {
		b.txn.Discard()
		return nil, err
	}
	return next, db.writer.write(b)
}
