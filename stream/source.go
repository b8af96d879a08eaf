package stream

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/task"
)

var (
	errNullValue = errors.New("the value is null, and its type has no room for that")
	errNoTime    = errors.New("the record has no event time")
)

// source is where bytes become a typed record.
type source[K, V any] struct {
	topic    Topic[K, V]
	key      decoder[K]
	value    decoder[V]
	rec      rec[K, V] // decoded last
	nilKey   bool      // K has nil
	nullPass bool      // null values pass
	nilValue bool      // V has nil
	frame    *task.Frame
	node     int
	out      handler[K, V]
	ahead    *ahead[K, V] // nil unless asynchronous steps can be reached
}

func newSource[K, V any](in *instance, t Topic[K, V], p *port[K, V]) *source[K, V] {
	return &source[K, V]{
		topic: t, key: decoder[K]{serde: t.Key}, value: decoder[V]{serde: t.Value}, nilKey: isNil[K]() != nil, nilValue: isNil[V]() != nil, nullPass: p.source.table,
		frame: in.frame, node: p.node.ID, out: p.open(in), ahead: newAhead(in, t, p),
	}
}

func (s *source[K, V]) Decode(in *client.Record, partition int32) (eventTime int64, err error) {
	r := &s.rec
	*r = rec[K, V]{nullKey: in.Key == nil && !s.nilKey}
	if in.Key != nil {
		if r.Key, err = s.key.decode(in.Key); err != nil {
			return 0, fmt.Errorf("key: %w", err)
		}
	}
	switch {
	case in.Value != nil:
		if r.Value, err = s.value.decode(in.Value); err != nil {
			return 0, fmt.Errorf("value: %w", err)
		}
	case s.nilValue: // the zero value is null
	case s.nullPass:
		r.nullValue = true
	default:
		return 0, errNullValue
	}
	if len(in.Headers) > 0 {
		r.Headers = make([]Header, len(in.Headers))
		for i, h := range in.Headers {
			r.Headers[i] = Header(h)
		}
	}
	r.Topic, r.Partition, r.Offset = s.topic.Name, partition, in.Offset
	eventTime = in.Timestamp
	if s.topic.eventTime != nil && in.Value != nil {
		eventTime = s.topic.eventTime(r.Value).UnixMilli()
	}
	if eventTime < 0 {
		return 0, fmt.Errorf("%w: %d ms since 1970", errNoTime, eventTime)
	}
	r.Time = time.UnixMilli(eventTime).UTC()
	return eventTime, nil
}

// Ahead implements task.AheadSource.
func (s *source[K, V]) Ahead() task.Ahead {
	if s.ahead == nil {
		return nil
	}
	return s.ahead
}

func (s *source[K, V]) Process() {
	if s.ahead != nil {
		s.ahead.process()
	}
	s.frame.Enter(s.node)
	_ = s.out(&s.rec) // the frame has the error
}

// sink is where a typed record becomes bytes.
func sink[K, V any](f *task.Frame, node int, t Topic[K, V]) handler[K, V] {
	null := newNulls[K, V]()
	return func(r *rec[K, V]) (err error) {
		f.Enter(node)
		buf := f.Buffer()
		out := task.Out{
			Topic:     t.Name,
			NullKey:   null.noKey(r),
			NullValue: null.noValue(r),
			Timestamp: r.Time.UnixMilli(),
		}
		if !out.NullKey {
			if buf, err = t.Key.Encode(buf, r.Key); err != nil {
				return f.FailOutput(t.Name, fmt.Errorf("key: %w", err))
			}
		}
		out.KeyEnd = len(buf)
		if !out.NullValue {
			if buf, err = t.Value.Encode(buf, r.Value); err != nil {
				return f.FailOutput(t.Name, fmt.Errorf("value: %w", err))
			}
		}
		for _, h := range r.Headers {
			f.Header(h.Key, h.Value)
		}
		return f.Emit(buf, out)
	}
}
