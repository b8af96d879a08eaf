package task

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// arenaKeepBytes bounds the buffers that a task keeps between records: one huge record must not cost its memory
// for ever.
const arenaKeepBytes = 1 << 20

// Frame is what the nodes of a task see of it while a record passes. Package stream's closures hold it.
type Frame struct {
	node       int   // ID of the node whose user function runs
	streamTime int64 // milliseconds
	partition  int32 // of the task
	recordTime int64 // milliseconds

	failed error  // first failure of the record: it becomes a dead letter
	at     int    // the node where it failed
	output string // topic of the output that failed it
	fatal  error  // failure that stops the task

	takes func(topic string) client.Takes // nil where nothing is written
	fits  int                             // the size of an output that every topic takes
	// Every topic takes an output whose time, in milliseconds, is latest at most; now is that of Run.
	latest, now int64
	ahead       time.Duration // the least of all topics; 0 is any
	refused     func(topic string) error
	stores      map[string]*store
	globals     map[string]*Global // by topic
	due         []*schedule        // as the nodes asked for it
	writes      writes
	inStore     bool // a call into the state layer is running

	background Background
	closers    []func()

	// What steps leave the present record out of, and the same of the records before.
	drops                  bool
	dropped, droppedBefore [reasons]int64

	arena   []byte // keys and values of the outputs held back
	headers []client.Header
	outs    []pending
}

// pending is an output held back until its record has passed. Its key is arena[start:keyEnd], its value
// arena[keyEnd:end].
type pending struct {
	topic               string
	start, keyEnd, end  int
	headers, headersEnd int
	nullKey, nullValue  bool
	timestamp           int64
	partition           int32
}

// Enter notes that the user function of a node begins to run, and that it goes on after a call to the nodes below.
func (f *Frame) Enter(node int) { f.node = node }

// Fail notes that the record failed in the node entered last, unless it failed already. It returns err.
//
// A record that failed stays failed even if a function between swallows the error: what followed did not happen.
func (f *Frame) Fail(err error) error {
	if f.failed == nil && err != nil {
		f.failed, f.at = err, f.node
	}
	return err
}

// Failed returns why the record failed, or nil.
func (f *Frame) Failed() error { return f.failed }

// StreamTime is the largest event time seen, in milliseconds, the present record's included.
func (f *Frame) StreamTime() int64 { return f.streamTime }

// Partition is that of the task.
func (f *Frame) Partition() int32 { return f.partition }

// RecordTime is the event time of the present input record in milliseconds.
func (f *Frame) RecordTime() int64 { return f.recordTime }

// Store returns a store of the task, or nil if there is none of that name. Its writes are held back with the
// record's outputs, and seen by its reads.
func (f *Frame) Store(name string) state.Store {
	if s := f.stores[name]; s != nil {
		return s
	}
	return nil
}

// Global returns a global table.
func (f *Frame) Global(topic string) *Global { return f.globals[topic] }

// UnknownStore notes that a node used a store that it did not name: no record could ever pass it.
func (f *Frame) UnknownStore(name string) { f.Stop(&state.UnknownStoreError{Store: name}) }

// Stop notes an error that is not the record's fault: the task stops in front of the record.
func (f *Frame) Stop(err error) {
	if f.fatal == nil {
		f.fatal = err
	}
}

// Buffer returns the buffer to append the next output's key and then its value to, before a call of Emit.
func (f *Frame) Buffer() []byte { return f.arena }

// Header adds a header to the next output.
func (f *Frame) Header(key string, value []byte) {
	f.headers = append(f.headers, client.Header{Key: key, Value: value})
}

// Out says what was appended to Buffer.
type Out struct {
	Topic              string
	KeyEnd             int // where the key ends and the value begins
	NullKey, NullValue bool
	Timestamp          int64 // milliseconds
}

// Emit holds an output back until the record has passed. buf is Buffer with the key and the value appended.
func (f *Frame) Emit(buf []byte, o Out) error {
	if f.refused != nil {
		if err := f.refused(o.Topic); err != nil {
			return f.FailOutput(o.Topic, err)
		}
	}
	start := len(f.arena)
	if len(buf) < o.KeyEnd || o.KeyEnd < start {
		return f.FailOutput(o.Topic, fmt.Errorf("the serde of topic %q returned less than it was given: Encode must append", o.Topic))
	}
	p := pending{
		topic: o.Topic, start: start, keyEnd: o.KeyEnd, end: len(buf),
		headersEnd: len(f.headers), nullKey: o.NullKey, nullValue: o.NullValue,
		timestamp: o.Timestamp, partition: -1,
	}
	if n := len(f.outs); n > 0 {
		p.headers = f.outs[n-1].headersEnd
	}
	size := client.Size(buf[start:o.KeyEnd], buf[o.KeyEnd:], f.headers[p.headers:])
	if f.takes != nil && (size > f.fits || o.NullKey || o.Timestamp > f.latest) {
		switch takes := f.takes(o.Topic); {
		case size > takes.RecordBytes:
			return f.FailOutput(o.Topic, fmt.Errorf("a record of %d bytes, key, value and headers, for topic %q is above the limit of %d: raise max.message.bytes of the topic",
				size, o.Topic, takes.RecordBytes))
		case o.NullKey && takes.OnlyKeyed:
			return f.FailOutput(o.Topic, fmt.Errorf("a record without a key for topic %q, which is compacted: no later record could replace it; give it a key (Rekey)", o.Topic))
		case takes.Ahead > 0 && o.Timestamp-f.now > takes.Ahead.Milliseconds():
			return f.FailOutput(o.Topic, fmt.Errorf("the time %s of a record for topic %q lies more than %v after the clock: mend the event time, or raise message.timestamp.after.max.ms of the topic",
				time.UnixMilli(o.Timestamp).UTC().Format(time.RFC3339), o.Topic, takes.Ahead))
		}
	}
	f.arena = buf
	f.outs = append(f.outs, p)
	return nil
}

// looksAt takes the wall-clock time by which the times of outputs are judged.
func (f *Frame) looksAt(now time.Time) {
	f.now = now.UnixMilli()
	f.latest = f.now + f.ahead.Milliseconds()
	if f.ahead == 0 {
		f.latest = math.MaxInt64
	}
}

// takeEffect applies the writes and hands on the outputs that were held back.
func (f *Frame) takeEffect(out Output) error {
	if len(f.writes.list) > 0 {
		if err := f.writes.apply(); err != nil {
			return err
		}
	}
	if err := f.flush(out); err != nil {
		return err
	}
	f.countDropped()
	f.drop()
	return nil
}

// spoiled reports whether the record failed for what a stored value says of itself, above the backend: no record of
// its key could pass.
func (f *Frame) spoiled() bool {
	return errors.Is(f.failed, state.ErrCorrupt) || errors.Is(f.failed, state.ErrDecode)
}

// begin prepares the frame for a record, or for what is due at a time.
func (f *Frame) begin(eventTime int64) {
	f.recordTime = eventTime
	f.streamTime = max(f.streamTime, eventTime)
	f.failed, f.output, f.inStore = nil, "", false
}

// flush hands the outputs held back to out.
func (f *Frame) flush(out Output) error {
	for i := range f.outs {
		p := &f.outs[i]
		r := OutRecord{Topic: p.topic, Partition: p.partition, Timestamp: p.timestamp}
		if !p.nullKey {
			r.Key = notNull(f.arena[p.start:p.keyEnd:p.keyEnd])
		}
		if !p.nullValue {
			r.Value = notNull(f.arena[p.keyEnd:p.end:p.end])
		}
		if p.headersEnd > p.headers {
			r.Headers = f.headers[p.headers:p.headersEnd:p.headersEnd]
		}
		if err := out.Emit(r); err != nil {
			return err
		}
	}
	return nil
}

// notNull returns b, or an empty slice for nil: an arena to which nothing was ever written is nil, and nil is null.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// fail drops what a record did that has failed.
func (f *Frame) fail() {
	for _, x := range f.writes.list {
		if x.deleted {
			x.store.scratch.Forget()
		}
	}
	f.drop()
}

// drop forgets outputs and writes that are held back, or were handed on.
func (f *Frame) drop() {
	if f.drops {
		f.drops, f.dropped = false, [reasons]int64{}
	}
	if cap(f.arena) > arenaKeepBytes {
		f.arena = nil
	}
	f.arena = f.arena[:0]
	if cap(f.outs) > arenaKeepBytes/64 {
		f.outs = nil
	}
	f.outs = f.outs[:0]
	f.headers = slices.Delete(f.headers, 0, len(f.headers)) // clears: values point into fetched batches
	f.writes.reset()
}
