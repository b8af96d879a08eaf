package main

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

var (
	// bookEntries are what is in force, and bookVersion which version of it.
	bookEntries = state.NewKeyValueStore("book", serde.String, serde.JSON[desk.Entry]())
	bookVersion = state.NewKeyValueStore("book-version", serde.String, serde.Binary[version]())
)

// theBook is the key of the one version of a task.
const theBook = "book"

// outcome is what comes of an input: exactly one field is set.
type outcome struct {
	decision *desk.Decision
	applied  *desk.Application
	inForce  *inForce
}

// inForce is a value of desk.InForce.
type inForce struct{ entry *desk.Entry }

// decider decides on the inputs of its task, in their order.
//
// What is in force is state of the task. As it takes time to put a book together from it (conditions are compiled, models parsed), the
// books of the tasks are kept in memory, with the version of the state that they stand for. A book whose version is not that of the
// store any more, after a commit that did not come about, is made anew.
type decider struct {
	matching rulebook.Matching

	mu struct {
		sync.Mutex
		books map[int32]*taskBook // by partition, those that are not in use
	}
}

// taskBook is a book as of a version.
type taskBook struct {
	*deciding.Book
	version version
}

// version tells states of a task apart: it grows with each change, and each time that models have learned.
type version struct{ revision, learned int64 }

func newDecider(matching rulebook.Matching) *decider {
	d := &decider{matching: matching}
	d.mu.books = make(map[int32]*taskBook)
	return d
}

// context is the part of a stream.Context that opens the state.
type taskContext interface {
	state.Context
	Partition() int32
}

// open returns the task's book. close gives it back, unless the record failed.
func (d *decider) open(c taskContext) (*taskBook, error) {
	v, _, err := bookVersion.In(c).Get(theBook)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	b := d.mu.books[c.Partition()]
	delete(d.mu.books, c.Partition())
	d.mu.Unlock()
	if b != nil && b.version == v {
		return b, nil
	}
	var entries []desk.Entry
	for e, err := range bookEntries.In(c).All() {
		if err != nil {
			return nil, err
		}
		entries = append(entries, e.Value)
	}
	book, err := deciding.Restore(d.matching, v.revision, entries)
	if err != nil {
		return nil, err
	}
	if err := learners(book.Learners()).restore(c); err != nil {
		return nil, err
	}
	return &taskBook{book, v}, nil
}

func (d *decider) close(c taskContext, b *taskBook) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.books[c.Partition()] = b
}

// step returns the processor.
func (d *decider) step() stream.Processor[string, desk.Input, string, outcome] {
	return stream.OnRecord(d.input).Punctuate(learnEvery, d.learn)
}

// stores are those that step uses.
func (*decider) stores() []state.Definition {
	return []state.Definition{bookEntries, bookVersion, learned, unlearned}
}

func (d *decider) input(c *stream.Context[string, outcome], r stream.Record[string, desk.Input]) error {
	b, err := d.open(c)
	if err != nil {
		return err
	}
	at := desk.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
	switch in := r.Value; {
	case in.Payment != nil:
		err = b.payment(c, in.Payment, at)
	case in.Label != nil:
		err = b.label(c, in.Label)
	default:
		err = b.change(c, *in.Change, at)
	}
	if err == nil {
		d.close(c, b)
	}
	return err
}

func (b *taskBook) payment(c *stream.Context[string, outcome], p *desk.Prepared, at desk.Place) error {
	decision, err := b.Decide(p, at)
	if err != nil {
		return err
	}
	if err := b.learners().remember(c, &p.Row); err != nil {
		return err
	}
	return c.Forward(p.Card, outcome{decision: &decision})
}

func (b *taskBook) learners() learners { return b.Learners() }

// label has the models learn what a payment was.
func (b *taskBook) label(c *stream.Context[string, outcome], l *desk.Label) error {
	if some, err := b.learners().label(c, l); err != nil || !some {
		return err
	}
	return b.keepLearned(c)
}

// learn has the models learn from silence.
func (d *decider) learn(c *stream.Context[string, outcome], at time.Time) error {
	b, err := d.open(c)
	if err != nil {
		return err
	}
	some, err := b.learners().silence(c, at)
	if err == nil && some {
		err = b.keepLearned(c)
	}
	if err == nil {
		d.close(c, b)
	}
	return err
}

func (b *taskBook) keepLearned(c taskContext) error {
	if err := b.learners().keep(c); err != nil {
		return err
	}
	b.version.learned++
	return bookVersion.In(c).Put(theBook, b.version)
}

// change changes what is in force from here on. One that cannot be made, because somebody was faster or wrote it without asking,
// changes nothing, and stops nobody.
func (b *taskBook) change(c *stream.Context[string, outcome], change desk.Change, at desk.Place) error {
	applied := &desk.Application{ID: change.ID, Key: change.Key(), Partition: at.Partition, Offset: at.Offset}
	kept, err := b.Apply(change)
	if err != nil {
		applied.Error = err.Error()
	} else if err := b.keep(c, kept, madeAt(change)); err != nil {
		return err
	}
	applied.Revision = b.Revision()
	return c.ForwardRecord(stream.Record[string, outcome]{Key: change.ID, Value: outcome{applied: applied}, Time: madeAt(change)})
}

// madeAt is when a change was made, if it says so: as an input it has no time.
func madeAt(c desk.Change) time.Time {
	if c.At.UnixMilli() < 0 {
		return time.Time{}
	}
	return c.At
}

// keep writes what a change has changed.
func (b *taskBook) keep(c *stream.Context[string, outcome], kept []desk.Entry, at time.Time) error {
	store := bookEntries.In(c)
	for _, e := range kept {
		if err := store.Put(e.Key(), e); err != nil {
			return err
		}
		if err := tell(c, e.Key(), &e, at); err != nil {
			return err
		}
	}
	keys := b.Keys()
	for e, err := range store.All() {
		if err != nil {
			return err
		}
		if keys[e.Key] {
			continue
		}
		if err := store.Delete(e.Key); err != nil {
			return err
		}
		if err := tell(c, e.Key, nil, at); err != nil {
			return err
		}
	}
	// What a model has learned goes with the model; one that is new has learned nothing.
	for e, err := range learned.In(c).All() {
		if err != nil {
			return err
		}
		if e.Key != unlearnedFrom && !keys["model/"+e.Key] {
			if err := learned.In(c).Delete(e.Key); err != nil {
				return err
			}
		}
	}
	b.version.revision = b.Revision()
	return b.keepLearned(c)
}

// tell tells what is in force. One partition does, as all come to the same.
func tell(c *stream.Context[string, outcome], key string, e *desk.Entry, at time.Time) error {
	if c.Partition() != 0 {
		return nil
	}
	return c.ForwardRecord(stream.Record[string, outcome]{Key: key, Value: outcome{inForce: &inForce{e}}, Time: at})
}

// AppendBinary appends two varints. It implements encoding.BinaryAppender.
func (v *version) AppendBinary(b []byte) ([]byte, error) {
	return binary.AppendVarint(binary.AppendVarint(b, v.revision), v.learned), nil
}

// UnmarshalBinary reads what AppendBinary wrote.
func (v *version) UnmarshalBinary(b []byte) error {
	r := varint.NewReader(b)
	if *v = (version{r.Int(), r.Int()}); !r.Done() {
		return desk.ErrInput
	}
	return nil
}

// broadcast copies a change into every partition of the inputs.
func broadcast(partitions int) func(*stream.Context[string, desk.Input], stream.Record[string, desk.Change]) error {
	keys := desk.PartitionKeys(partitions)
	return func(c *stream.Context[string, desk.Input], r stream.Record[string, desk.Change]) error {
		if r.Partition != 0 {
			return fmt.Errorf("frauddetect: a change in partition %d of %s: want one partition, so that changes have one order", r.Partition, desk.Changes.Name)
		}
		for _, key := range keys {
			if err := c.Forward(key, desk.Input{Change: &r.Value}); err != nil {
				return err
			}
		}
		return nil
	}
}
