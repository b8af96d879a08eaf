package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// errNullKey fails a record that cannot have a place in a table.
var errNullKey = errors.New("the key is null: a row of a table has a key")

// Table is of each key the latest value. What flows between its operators are changes; a null in its topic, a
// tombstone, deletes a row. Its rows follow the order of the topic's partition, whatever the records' times.
//
// Like a [Stream] it belongs to its builder and may be used several times. Functions given to its operators are
// called for the old value of a row and for the new one, and again when a row is looked up for a join: they must
// return the same for the same value, and not change what a pointer in it points to.
type Table[K, V any] struct {
	b    *Builder
	port *port[K, Change[V]]
	rows rows[K, V]
	// Serdes of the store that the rows come from. That of the values is unusable where they were computed since.
	key   serde.Serde[K]
	value serde.Serde[state.Timed[V]]
}

// rows is how the present value of a key is found: in a store, or computed from what lies in others.
type rows[K, V any] struct {
	stores []graph.Store // that it reads
	open   func(*instance) lookup[K, V]
}

// lookup returns the present row of a key. An error has failed the record.
type lookup[K, V any] func(key K) (row state.Timed[V], found bool, err error)

// Table reads a topic as a table, and keeps it in a store that is named after the topic: see [Topic.TableStore].
// Reading one topic several times gives the same table. The store has a changelog topic of its own.
func (b *Builder) Table[K, V any](t Topic[K, V]) Table[K, V] {
	return b.TableIn(t, t.TableStore())
}

// TableStore is the store that [Builder.Table] keeps a topic in.
func (t Topic[K, V]) TableStore() state.TableStore[K, V] {
	return state.NewTableStore(t.Name, t.Key, t.Value)
}

// TableIn is Table with a store of another name, or with other serdes.
func (b *Builder) TableIn[K, V any](t Topic[K, V], store state.TableStore[K, V]) Table[K, V] {
	spec := store.Spec()
	p := b.source(t, "table")
	if other, ok := b.tables[t.Name].(Table[K, V]); ok {
		if name := other.rows.stores[0].Spec.Name; name != spec.Name {
			b.mistake("table %q: its topic is kept in store %q and in store %q: a topic is one table", t.Name, name, spec.Name)
		}
		return other
	}
	p.source.table = true
	b.checkNulls(p)
	table := b.table(store, graph.Node{Op: "table", Name: spec.Name, Inputs: []graph.Edge{p.edge()}})
	p.consume(b, func(in *instance) handler[K, V] { return readTable(in, table, store) })
	b.tables[t.Name] = table
	return table
}

// table adds a step that keeps a table in a store.
func (b *Builder) table[K, V any](store state.TableStore[K, V], n graph.Node) Table[K, V] {
	n.Kind, n.Leaf = graph.Processor, true
	n.Stores = append(n.Stores, b.stores(n.Name, []state.Definition{store})...)
	p := newPort[K, Change[V]](b.add(n), "")
	key, value := store.Serdes()
	return Table[K, V]{b: b, port: p, rows: storedRows(store), key: key, value: value}
}

// storedRows finds the rows of a table where they lie.
func storedRows[K, V any](store state.TableStore[K, V]) rows[K, V] {
	return rows[K, V]{
		stores: []graph.Store{graphStore(store)},
		open: func(in *instance) lookup[K, V] {
			f, rows := in.frame, store.In(storeContext{in.frame})
			return func(key K) (state.Timed[V], bool, error) {
				row, found, err := rows.Get(key)
				return row, found, f.Fail(err)
			}
		},
	}
}

// readTable is the step between a source and its table.
func readTable[K, V any](in *instance, t Table[K, V], store state.TableStore[K, V]) handler[K, V] {
	null := newNulls[K, V]()
	f, id := in.frame, t.port.node.ID
	keep := newKeeper(in, t, store)
	return func(r *rec[K, V]) error {
		f.Enter(id)
		if null.noKey(r) {
			return f.Fail(errNullKey)
		}
		if null.noValue(r) {
			return sendUpdate(keep, r, Optional[V]{}, r.Time)
		}
		return sendUpdate(keep, r, some(r.Value), r.Time)
	}
}

// keeper writes the rows of a table and sends their changes on.
type keeper[K, V any] struct {
	frame *task.Frame
	rows  state.KeyValue[K, state.Timed[V]]
	next  handler[K, Change[V]]
	own   rec[K, Change[V]]
}

func newKeeper[K, V any](in *instance, t Table[K, V], store state.TableStore[K, V]) *keeper[K, V] {
	return &keeper[K, V]{frame: in.frame, rows: store.In(storeContext{in.frame}), next: t.port.open(in)}
}

// old returns the present row of a key.
func (k *keeper[K, V]) old(key K) (state.Timed[V], bool, error) {
	row, found, err := k.rows.Get(key)
	return row, found, k.frame.Fail(err)
}

// sendUpdate reads the old row of r's key, writes the new one and sends the change. Deleting a row that is not there
// is no change.
func sendUpdate[K, V, In any](k *keeper[K, V], r *rec[K, In], v Optional[V], at time.Time) error {
	row, found, err := k.old(r.Key)
	if err != nil || !found && !v.Present {
		return err
	}
	return sendChange(k, r, Change[V]{Optional[V]{row.Value, found}, v}, at)
}

// sendChange writes the new row of r's key and sends the change.
func sendChange[K, V, In any](k *keeper[K, V], r *rec[K, In], c Change[V], at time.Time) error {
	var err error
	if c.New.Present {
		err = k.rows.Put(r.Key, state.Timed[V]{Value: c.New.Value, Time: at})
	} else {
		err = k.rows.Delete(r.Key)
	}
	if err != nil {
		return k.frame.Fail(err)
	}
	relay(&k.own, r)
	k.own.Value, k.own.Time = c, at
	return k.next(&k.own)
}

// storeContext opens typed stores for steps of the library. They may keep them: it is the task's own.
type storeContext struct{ frame *task.Frame }

func (c storeContext) Store(name string) state.Store { return c.frame.Store(name) }
func (c storeContext) StreamTime() time.Time         { return time.UnixMilli(c.frame.StreamTime()).UTC() }

func (c storeContext) RecordTime() time.Time { return time.UnixMilli(c.frame.RecordTime()).UTC() }

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// node adds a step below t that the user did not name, and whose function may be missing.
func (t Table[K, V]) node(op string, missing bool) *graph.Node {
	return t.b.step(op, missing, t.port.edge())
}

// consume makes the consumer one that sees the changes.
func (t Table[K, V]) consume(consumer func(*instance) handler[K, Change[V]]) {
	t.port.consume(t.b, consumer)
}

// serialized reports what keeps the table's rows from being sent to other tasks, or nil.
func (t Table[K, V]) serialized() error {
	if t.value.Valid() != nil {
		return fmt.Errorf("the values of table %q are computed, and no serde is known for them: Materialize it first", t.port.node.Name)
	}
	return nil
}
