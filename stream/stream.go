package stream

import (
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

// Stream is what flows between two operators. It belongs to the builder it came from and may be used several times:
// every use sees every record, in the order of the program. Values are not copied between uses: functions must not
// change what a pointer in them points to.
//
// Functions of the value alone keep the key, so they never repartition.
type Stream[K, V any] struct {
	b    *Builder
	port *port[K, V]
}

// node adds a step below s that the user did not name, and whose function may be missing.
func (s Stream[K, V]) node(op string, missing bool) *graph.Node {
	return s.b.step(op, missing, s.port.edge())
}

// consume makes the consumer one that sees what flows.
func (s Stream[K, V]) consume(consumer func(*instance) handler[K, V]) { s.port.consume(s.b, consumer) }

// pass makes a pure step, or the asynchronous one, see what flows.
func (s Stream[K, V]) pass(n *graph.Node, open func(*instance) handler[K, V]) {
	s.port.add(s.b, consumer[K, V]{open, n})
}

// pure adds a step that depends on the record alone.
func (s Stream[K, V]) pure(op string, missing bool) *graph.Node {
	n := s.node(op, missing)
	n.Pure = true
	return n
}

// From here on every operator is written once, over the whole record and with an error; the public ones in
// operators.go are thin coats of it.

func (s Stream[K, V]) filter(op string, missing bool, keep func(*rec[K, V]) (bool, error)) Stream[K, V] {
	n := s.pure(op, missing)
	out := newPort[K, V](n, "")
	s.pass(n, func(in *instance) handler[K, V] {
		f, id, next := in.frame, n.ID, out.open(in)
		return func(r *rec[K, V]) error {
			f.Enter(id)
			ok, err := keep(r)
			if err != nil || !ok {
				return f.Fail(err)
			}
			return next(r)
		}
	})
	return Stream[K, V]{s.b, out}
}

func (s Stream[K, V]) convert[R any](op string, missing bool, convert func(*rec[K, V]) (R, error)) Stream[K, R] {
	n := s.pure(op, missing)
	out := newPort[K, R](n, "")
	s.pass(n, func(in *instance) handler[K, V] {
		f, id, next := in.frame, n.ID, out.open(in)
		own := new(rec[K, R])
		return func(r *rec[K, V]) error {
			f.Enter(id)
			v, err := convert(r)
			if err != nil {
				return f.Fail(err)
			}
			relay(own, r)
			own.Value = v
			return next(own)
		}
	})
	return Stream[K, R]{s.b, out}
}

func (s Stream[K, V]) expand[R any](op string, missing bool, expand func(*rec[K, V]) ([]R, error)) Stream[K, R] {
	n := s.pure(op, missing)
	out := newPort[K, R](n, "")
	s.pass(n, func(in *instance) handler[K, V] {
		f, id, next := in.frame, n.ID, out.open(in)
		own := new(rec[K, R])
		return func(r *rec[K, V]) error {
			f.Enter(id)
			vs, err := expand(r)
			if err != nil {
				return f.Fail(err)
			}
			relay(own, r)
			for _, v := range vs {
				own.Value = v
				if err := next(own); err != nil {
					return err
				}
			}
			return nil
		}
	})
	return Stream[K, R]{s.b, out}
}

// relay copies everything but the value.
func relay[K, V, R any](to *rec[K, R], from *rec[K, V]) {
	to.Key, to.nullKey = from.Key, from.nullKey
	to.Time, to.Headers = from.Time, from.Headers
	to.Topic, to.Partition, to.Offset = from.Topic, from.Partition, from.Offset
}
