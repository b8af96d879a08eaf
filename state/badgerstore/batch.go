package badgerstore

import (
	"encoding/binary"
	"sync"

	"github.com/dgraph-io/badger/v4"

	"github.com/riffle-stream/riffle/state"
)

const (
	// batchBytes and batchEntries are the size of a batch: well below what a Badger
	// transaction takes with the smallest memtable. One large entry more fits.
	batchBytes   = 128 << 10
	batchEntries = 1000
	// batchesInFlight bounds how many batches wait for the disk at once. Badger syncs
	// what has piled up together.
	batchesInFlight = 8
	// ringSlots is how many batches back a hole is found.
	ringSlots = 4096
)

// writer writes batches, each one Badger transaction and each numbered: the last
// ringSlots numbers are in the database. A hole in Badger's log (bytes in the middle
// of it gone, and all after them in that file, but not in the next) shows as a gap.
//
// Methods may be called concurrently; batches take effect in the order of add.
type writer struct {
	db     *badger.DB
	commit func(txn *badger.Txn, done func(error)) // as (*badger.Txn).CommitWith

	mu struct {
		sync.Mutex
		seq uint64 // of the last batch
	}
}

// batch collects changes. Badger keeps keys and values until it has written them, so
// they lie in a block that is never used again.
type batch struct {
	txn   *badger.Txn
	block []byte
	size  int
	count int
}

func (w *writer) batch() *batch { return &batch{txn: w.db.NewTransaction(true)} }

func (b *batch) full() bool { return b.size >= batchBytes || b.count >= batchEntries }

// alloc returns an empty slice with room for n bytes.
func (b *batch) alloc(n int) []byte {
	if cap(b.block)-len(b.block) < n {
		b.block = make([]byte, 0, max(n, batchBytes))
	}
	at := len(b.block)
	b.block = b.block[:at+n]
	return b.block[at : at : at+n]
}

// set puts a value, to which its checksum is added. key must stay as it is.
func (b *batch) set(key, value []byte) error {
	v := append(b.alloc(len(value)+checksumBytes), value...)
	b.size += len(key) + len(value)
	b.count++
	return b.txn.SetEntry(badger.NewEntry(key, appendChecksum(v, 0, key)))
}

// del deletes a key, which must stay as it is.
func (b *batch) del(key []byte) error {
	b.size += len(key)
	b.count++
	return b.txn.Delete(key)
}

// add numbers a batch and sends it; done is called, perhaps from another goroutine,
// when it is on disk.
func (w *writer) add(b *batch, done func(error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.seq++
	err := b.set(ringKey(w.mu.seq), binary.BigEndian.AppendUint64(nil, w.mu.seq))
	if err != nil {
		b.txn.Discard()
		done(err)
		return
	}
	w.commit(b.txn, done)
}

// write sends a batch and waits until it is on disk.
func (w *writer) write(b *batch) error {
	done := make(chan error, 1)
	w.add(b, func(err error) { done <- err })
	return <-done
}

// pipeline writes many batches, some of them at once.
type pipeline struct {
	w     *writer
	batch *batch
	slots chan struct{}

	mu struct {
		sync.Mutex
		err error // the first one
	}
}

func (w *writer) pipeline() *pipeline {
	return &pipeline{w: w, batch: w.batch(), slots: make(chan struct{}, batchesInFlight)}
}

// change adds a change to the data with the prefix given, and tells how many bytes it sent with it.
func (p *pipeline) change(prefix []byte, c state.Change) (sent int, err error) {
	key := append(append(p.batch.alloc(len(prefix)+len(c.Key)), prefix...), c.Key...)
	if c.Value == nil {
		err = p.batch.del(key)
	} else {
		err = p.batch.set(key, c.Value)
	}
	if err == nil && p.batch.full() {
		sent = p.batch.size
		err = p.send()
	}
	return sent, err
}

// send sends the batch and begins another one.
func (p *pipeline) send() error {
	p.slots <- struct{}{}
	p.w.add(p.batch, func(err error) {
		p.mu.Lock()
		if p.mu.err == nil {
			p.mu.err = err
		}
		p.mu.Unlock()
		<-p.slots
	})
	p.batch = p.w.batch()
	return p.failed()
}

func (p *pipeline) failed() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.err
}

// wait waits until all batches that were sent are on disk.
func (p *pipeline) wait() error {
	for range batchesInFlight {
		p.slots <- struct{}{}
	}
	for range batchesInFlight {
		<-p.slots
	}
	return p.failed()
}

// discard drops the batch that was not sent.
func (p *pipeline) discard() { p.batch.txn.Discard() }
