package stream

import (
	"bytes"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/graph"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

// JoinForeign joins each row with the row of another table that key of it names: orders with their customers. The
// result has the keys of this table; many of its rows may name one row there. It changes when either side does. A row for
// which key returns nil names none.
//
//	orders.JoinForeign(customers, Order.Customer, store, func(o Order, c Customer) Invoice { … })
//
// The store keeps the result, and gives the step its name NAME. Rows of the two tables lie in different tasks, so they
// talk through two topics of the application (the protocol of KIP-213): NAME-subscription-repartition, in which a row
// says which foreign row it wants, and NAME-response-repartition, in which that one answers. An answer to what the row
// was before is told by a hash of the row, and left out. Who wants what is kept in the store NAME-subscriptions. Both
// tables need serdes for their values: Materialize those that are computed.
//
// A change of a foreign row that many rows name is many answers, in one transaction.
func (t Table[K, V]) JoinForeign[FK, FV, R any](other Table[FK, FV], key func(V) FK, store state.TableStore[K, R], join func(V, FV) R) Table[K, R] {
	return joinForeign("joinforeign", t, other, key, store, join == nil, true, func(v V, o Optional[FV]) R { return join(v, o.Value) })
}

// LeftJoinForeign is JoinForeign for rows whose foreign row is not there, too: join gets a missing one.
func (t Table[K, V]) LeftJoinForeign[FK, FV, R any](other Table[FK, FV], key func(V) FK, store state.TableStore[K, R], join func(V, Optional[FV]) R) Table[K, R] {
	return joinForeign("leftjoinforeign", t, other, key, store, join == nil, false, join)
}

func joinForeign[K, V, FK, FV, R any](op string, left Table[K, V], right Table[FK, FV], key func(V) FK, store state.TableStore[K, R],
	missing, inner bool, join func(V, Optional[FV]) R,
) Table[K, R] {
	b, name := left.b, store.Spec().Name
	if right.b != b {
		b.mistake("%s %q: a table of %s", op, name, whose(right.b))
		return Table[K, R]{b: b, port: newPort[K, Change[R]](left.port.node, "")}
	}
	if missing || key == nil {
		b.mistake("%s %q: the function is nil", op, name)
	}
	for _, err := range []error{left.serialized(), right.serialized()} {
		if err != nil {
			b.mistake("%s %q: %w", op, name, err)
		}
	}
	subscribers := state.NewKeyValueStore(name+"-subscriptions", serde.Bytes, serde.Bytes)
	j := &foreignJoin[K, V, FK, FV, R]{
		left: left, right: right, foreignKey: foreignKey(key), join: join, inner: inner, store: store, subscribers: subscribers.Spec().Name,
	}
	rekey := func(suffix, key string, from graph.Edge) *graph.Node {
		return b.add(graph.Node{Kind: graph.Rekey, Op: op, Name: name + "-" + suffix, Key: key, Inputs: []graph.Edge{from}})
	}

	wanted := NewTopic("", right.key, subscriptionSerde)
	subscribe := rekey("subscription", keySerde(right.key), left.port.edge())
	subscriptions := newPort[FK, subscription](subscribe, "")
	b.opens[subscribe.ID] = func(in *instance) task.Source { return newSource(in, wanted.named(subscribe.Topic), subscriptions) }

	matchNode := b.add(graph.Node{
		Kind: graph.Processor, Op: op, Name: subscribers.Spec().Name, Inputs: []graph.Edge{subscriptions.edge(), right.port.edge()},
		Stores: union([]graph.Store{graphStore(subscribers)}, right.rows.stores), NewKey: true,
	})
	answers := NewTopic("", left.key, answerSerde)
	respond := rekey("response", keySerde(left.key), graph.Edge{From: matchNode})
	responses := newPort[K, answer](respond, "")
	b.opens[respond.ID] = func(in *instance) task.Source { return newSource(in, answers.named(respond.Topic), responses) }

	j.out = b.table(store, graph.Node{Op: op, Name: name, Inputs: []graph.Edge{responses.edge(), left.port.edge()}, Stores: left.rows.stores})

	left.consume(func(in *instance) handler[K, Change[V]] {
		return j.subscribe(in, subscribe.ID, sink(in.frame, subscribe.ID, wanted.named(subscribe.Topic)))
	})
	left.consume(j.follow)
	subscriptions.consume(b, func(in *instance) handler[FK, subscription] {
		return j.match(in, matchNode.ID, sink(in.frame, respond.ID, answers.named(respond.Topic)))
	})
	right.consume(func(in *instance) handler[FK, Change[FV]] {
		return j.publish(in, matchNode.ID, sink(in.frame, respond.ID, answers.named(respond.Topic)))
	})
	responses.consume(b, j.resolve)
	return j.out
}

// foreignJoin is what the steps of a foreign-key join share.
type foreignJoin[K, V, FK, FV, R any] struct {
	left        Table[K, V]
	right       Table[FK, FV]
	foreignKey  func(Optional[V]) Optional[FK]
	join        func(V, Optional[FV]) R
	inner       bool
	store       state.TableStore[K, R]
	subscribers string // name of the store
	out         Table[K, R]
}

// foreignKey returns the key that a row names, if there is a row and it names one.
func foreignKey[V, FK any](key func(V) FK) func(Optional[V]) Optional[FK] {
	none := isNil[FK]()
	return func(v Optional[V]) Optional[FK] {
		if !v.Present {
			return Optional[FK]{}
		}
		k := key(v.Value)
		if none != nil && none(&k) {
			return Optional[FK]{}
		}
		return some(k)
	}
}

// subscribe tells the foreign rows which rows want them, and which do so no more.
func (j *foreignJoin[K, V, FK, FV, R]) subscribe(in *instance, node int, send handler[FK, subscription]) handler[K, Change[V]] {
	f := in.frame
	own := new(rec[FK, subscription])
	var before, after, row []byte
	encode := func(k Optional[FK], buf []byte) ([]byte, error) {
		if !k.Present {
			return buf[:0], nil
		}
		return j.right.key.Encode(buf[:0], k.Value)
	}
	return func(r *rec[K, Change[V]]) (err error) {
		f.Enter(node)
		from, to := j.foreignKey(r.Value.Old), j.foreignKey(r.Value.New)
		if before, err = encode(from, before); err != nil {
			return f.Fail(err)
		}
		if after, err = encode(to, after); err != nil {
			return f.Fail(err)
		}
		own.Time, own.Headers = r.Time, r.Headers
		if own.Value.row, err = j.left.key.Encode(own.Value.row[:0], r.Key); err != nil {
			return f.Fail(err)
		}
		if from.Present && !(to.Present && bytes.Equal(before, after)) {
			own.Key, own.Value.wanted, own.Value.hash = from.Value, false, rowHash{}
			if err := send(own); err != nil {
				return err
			}
		}
		if !to.Present {
			return nil
		}
		if own.Value.hash, row, err = hashRow(row, j.left.value, r.Value.New.Value, r.Time); err != nil {
			return f.Fail(err)
		}
		own.Key, own.Value.wanted = to.Value, true
		return send(own)
	}
}

// follow does what needs no answer: a row that is deleted, or names no foreign row.
func (j *foreignJoin[K, V, FK, FV, R]) follow(in *instance) handler[K, Change[V]] {
	f, id, keep := in.frame, j.out.port.node.ID, newKeeper(in, j.out, j.store)
	return func(r *rec[K, Change[V]]) error {
		f.Enter(id)
		switch v := r.Value.New; {
		case !v.Present || j.inner && !j.foreignKey(v).Present:
			return sendUpdate(keep, r, Optional[R]{}, r.Time)
		case !j.foreignKey(v).Present:
			return sendUpdate(keep, r, some(j.join(v.Value, Optional[FV]{})), r.Time)
		}
		return nil
	}
}

// match notes who wants a foreign row, and answers with what there is now.
func (j *foreignJoin[K, V, FK, FV, R]) match(in *instance, node int, send handler[K, answer]) handler[FK, subscription] {
	f, look := in.frame, j.right.rows.open(in)
	a := j.newAnswerer(in, node, send)
	return func(r *rec[FK, subscription]) (err error) {
		f.Enter(node)
		if a.id, err = a.prefix(a.id[:0], r.Key); err != nil {
			return f.Fail(err)
		}
		a.id = append(a.id, r.Value.row...)
		if !r.Value.wanted {
			return f.Fail(a.store.Delete(a.id))
		}
		if err := a.store.Put(a.id, appendSubscriber(nil, r.Value.hash, r.Time)); err != nil {
			return f.Fail(err)
		}
		row, found, err := look(r.Key)
		if err != nil {
			return err
		}
		if err := a.take(Optional[FV]{row.Value, found}, row.Time); err != nil {
			return f.Fail(err)
		}
		at := r.Time
		if found {
			at = later(at, row.Time)
		}
		return a.send(r.Value.row, r.Value.hash, at, r.Headers)
	}
}

// publish answers everyone who wants a foreign row that has changed.
func (j *foreignJoin[K, V, FK, FV, R]) publish(in *instance, node int, send handler[K, answer]) handler[FK, Change[FV]] {
	f := in.frame
	a := j.newAnswerer(in, node, send)
	return func(r *rec[FK, Change[FV]]) (err error) {
		f.Enter(node)
		if a.id, err = a.prefix(a.id[:0], r.Key); err != nil {
			return f.Fail(err)
		}
		if err := a.take(r.Value.New, r.Time); err != nil {
			return f.Fail(err)
		}
		for kv, err := range a.store.Range(a.id, prefixEnd(a.id)) {
			if err != nil {
				return f.Fail(err)
			}
			hash, since, err := parseSubscriber(kv.Value)
			if err != nil {
				return f.Fail(err)
			}
			if err := a.send(kv.Key[len(a.id):], hash, later(since, r.Time), r.Headers); err != nil {
				return err
			}
		}
		return nil
	}
}

// answerer sends answers of one foreign row.
type answerer[K, FK, FV any] struct {
	frame *task.Frame
	node  int
	store state.Store // of the subscribers: under the foreign key and the row's key
	key   serde.Serde[K]
	its   serde.Serde[FK]
	value serde.Serde[state.Timed[FV]]
	next  handler[K, answer]
	out   rec[K, answer]

	id []byte // reused
}

func (j *foreignJoin[K, V, FK, FV, R]) newAnswerer(in *instance, node int, send handler[K, answer]) *answerer[K, FK, FV] {
	return &answerer[K, FK, FV]{
		frame: in.frame, node: node, store: in.frame.Store(j.subscribers),
		key: j.left.key, its: j.right.key, value: j.right.value, next: send,
	}
}

// prefix appends what the ids of all who want a foreign row have in common.
func (a *answerer[K, FK, FV]) prefix(dst []byte, key FK) ([]byte, error) {
	start := len(dst)
	dst, err := a.its.Encode(dst, key)
	if err != nil {
		return dst, err
	}
	return prefixLength(dst, start), nil
}

// take takes over the foreign row to answer with.
func (a *answerer[K, FK, FV]) take(v Optional[FV], at time.Time) (err error) {
	a.out.Value.found = v.Present
	a.out.Value.row = a.out.Value.row[:0]
	if v.Present {
		a.out.Value.row, err = a.value.Encode(a.out.Value.row, state.Timed[FV]{Value: v.Value, Time: at})
	}
	return err
}

// send answers the row with an encoded key.
func (a *answerer[K, FK, FV]) send(row []byte, hash rowHash, at time.Time, headers []Header) (err error) {
	if a.out.Key, err = a.key.Decode(row); err != nil {
		return a.frame.Fail(err)
	}
	a.out.Value.hash, a.out.Time, a.out.Headers = hash, at, headers
	err = a.next(&a.out)
	a.frame.Enter(a.node)
	return err
}

// resolve joins a row with the answer that it got, if it is still the row that asked.
func (j *foreignJoin[K, V, FK, FV, R]) resolve(in *instance) handler[K, answer] {
	f, id, look, keep := in.frame, j.out.port.node.ID, j.left.rows.open(in), newKeeper(in, j.out, j.store)
	var buf []byte
	return func(r *rec[K, answer]) error {
		f.Enter(id)
		row, found, err := look(r.Key)
		if err != nil || !found {
			return err
		}
		var hash rowHash
		if hash, buf, err = hashRow(buf, j.left.value, row.Value, row.Time); err != nil {
			return f.Fail(err)
		}
		switch {
		case hash != r.Value.hash:
			return nil
		case r.Value.found:
			other, err := j.right.value.Decode(r.Value.row)
			if err != nil {
				return f.Fail(err)
			}
			return sendUpdate(keep, r, some(j.join(row.Value, some(other.Value))), later(row.Time, other.Time))
		case j.inner:
			return sendUpdate(keep, r, Optional[R]{}, r.Time)
		}
		return sendUpdate(keep, r, some(j.join(row.Value, Optional[FV]{})), r.Time)
	}
}
