package replies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// HeaderRequest is the header by which a reply finds its request.
const HeaderRequest = "riffle.request"

var (
	// ErrPending means that there is no reply yet: the request may still be processed, and Find has the reply then.
	ErrPending = errors.New("replies: there is no reply yet")
	// ErrOtherContent means that there was a request of the same id, and other content.
	ErrOtherContent = errors.New("replies: an earlier request of this id has other content")
	// ErrBusy means that too many requests wait.
	ErrBusy = errors.New("replies: too many requests wait for their replies")
	// ErrUnknown means that there is neither a request nor a reply of an id, or that the reply has been forgotten.
	ErrUnknown = errors.New("replies: nothing is known of this id")
)

// Config tunes a Desk. The zero value is a working configuration.
type Config struct {
	// MaxWaiting is how many requests may wait for their replies. The default is 10,000.
	MaxWaiting int
	// MaxBytes is how much memory the replies may take that are kept for Find. The oldest give way. The default is 64 MiB.
	MaxBytes int64
	// Recall is how many of the last offsets of each partition are read at the start. The default is 100,000.
	Recall int64
	// Logger tells what goes wrong with the reading of replies. The default is slog.Default.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 10_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Recall == 0 {
		c.Recall = 100_000
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

// Desk takes requests of type V and gives replies of type D.
type Desk[V, D any] struct {
	cfg     Config
	cluster *stream.Cluster
	input   stream.Topic[string, V]
	outputs []stream.Topic[string, D]
	ctx     context.Context // of what outlives a request: that of a record that is being written must not end
	stop    context.CancelFunc
	reading sync.WaitGroup

	writing sync.Mutex // of which content is written first
	writer  *stream.Writer[string, V]
	closed  bool

	mu struct {
		sync.Mutex
		waiting map[string]*request
		known   memory
	}
}

// request is one that has no reply yet.
type request struct {
	sum     string
	replied chan struct{} // closed when there is one
}

// Open opens a desk on topics that exist: a request has its reply in one of the outputs. Close it after use.
func Open[V, D any](ctx context.Context, cfg Config, cluster *stream.Cluster, input stream.Topic[string, V], outputs ...stream.Topic[string, D]) (*Desk[V, D], error) {
	if len(outputs) == 0 {
		return nil, errors.New("replies: no topic for replies")
	}
	d := &Desk[V, D]{cfg: cfg.withDefaults(), cluster: cluster, input: input, outputs: outputs}
	d.mu.waiting = make(map[string]*request)
	d.mu.known = newMemory(d.cfg.MaxBytes)
	if err := d.openWriter(ctx); err != nil {
		return nil, err
	}
	d.ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	for _, output := range outputs {
		d.reading.Go(func() { d.follow(d.ctx, output.Name) })
	}
	return d, nil
}

// linger is how long a request waits for others to share its batch: a small part of what an fsync takes.
const linger = 200 * time.Microsecond

func (d *Desk[V, D]) openWriter(ctx context.Context) (err error) {
	d.writer, err = stream.NewWriter(ctx, d.cluster, d.input, stream.WriterConfig{Linger: linger})
	return err
}

// Close writes what is queued and ends the reading of replies. Who waits gets none.
func (d *Desk[V, D]) Close() error {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.closed = true
	var err error
	if d.writer != nil {
		err = d.writer.Close() // before the context of what it writes ends
		d.writer = nil
	}
	d.stop()
	d.reading.Wait()
	return err
}

// Do writes a request under an id, and waits for its reply until ctx ends: then the error is ErrPending. An id that was there before is
// not written again: it has the reply of the first, unless its content differs (ErrOtherContent). The content is what a client says again when
// it tries again, which v need not be: it may have a time that was made up here.
func (d *Desk[V, D]) Do(ctx context.Context, id string, content []byte, key string, v V, at time.Time) (reply D, err error) {
	sum := sumOf(content)
	r, first, err := d.enter(id, sum)
	if err != nil {
		return reply, err
	}
	if first {
		record := stream.Record[string, V]{
			Key: key, Value: v, Time: at,
			Headers: []stream.Header{{Key: HeaderRequest, Value: []byte(id + " " + sum)}},
		}
		if err := d.write(record); err != nil {
			d.leave(id, r)
			return reply, err
		}
	}
	if r != nil {
		select {
		case <-r.replied:
		case <-ctx.Done():
			return reply, fmt.Errorf("%w: %w", ErrPending, context.Cause(ctx))
		}
	}
	return d.Find(id)
}

// sumOf is a short one: enough to tell a retry from another request.
func sumOf(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:8])
}

// enter makes a request, or finds the earlier one of the same id. There is none to wait for if the reply is known.
func (d *Desk[V, D]) enter(id, sum string) (r *request, first bool, err error) {
	if id == "" || strings.ContainsAny(id, " \n") {
		return nil, false, fmt.Errorf("replies: an id of %q: want one without spaces", id)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	earlier, known := d.mu.known.get(id)
	r = d.mu.waiting[id]
	switch {
	case known && earlier.sum != sum, r != nil && r.sum != sum:
		return nil, false, ErrOtherContent
	case known:
		return nil, false, nil
	case r != nil:
		return r, false, nil
	case len(d.mu.waiting) >= d.cfg.MaxWaiting:
		return nil, false, ErrBusy
	}
	r = &request{sum, make(chan struct{})}
	d.mu.waiting[id] = r
	return r, true, nil
}

// leave forgets a request that could not be written.
func (d *Desk[V, D]) leave(id string, r *request) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.waiting[id] == r {
		delete(d.mu.waiting, id)
	}
}

// write queues a record. A writer that has failed once fails for ever, so it is replaced.
func (d *Desk[V, D]) write(r stream.Record[string, V]) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	if d.closed {
		return errors.New("replies: the desk is closed")
	}
	if d.writer == nil {
		if err := d.openWriter(d.ctx); err != nil {
			return err
		}
	}
	err := d.writer.Write(d.ctx, r)
	if err != nil {
		d.cfg.Logger.Warn("replies: a request could not be written", "topic", d.input.Name, "err", errors.Join(err, d.writer.Close()))
		d.writer = nil
	}
	return err
}

// Find returns the reply to a request, ErrPending if it waits, or ErrUnknown.
func (d *Desk[V, D]) Find(id string) (reply D, err error) {
	d.mu.Lock()
	known, found := d.mu.known.get(id)
	_, waits := d.mu.waiting[id]
	d.mu.Unlock()
	switch {
	case found:
		return d.outputs[0].Value.Decode(known.value)
	case waits:
		return reply, ErrPending
	}
	return reply, ErrUnknown
}

// Waiting is the number of requests without a reply.
func (d *Desk[V, D]) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.mu.waiting)
}

// retryAfter is how long the desk waits before it reads replies again after an error.
const retryAfter = 500 * time.Millisecond

// follow reads the replies until ctx ends. Most records of a busy topology are no replies, so their values are not decoded.
func (d *Desk[V, D]) follow(ctx context.Context, output string) {
	raw := stream.NewTopic(output, serde.Bytes, serde.Bytes)
	for ctx.Err() == nil {
		for r, err := range d.cluster.Follow(ctx, raw, d.cfg.Recall) {
			if err != nil {
				d.cfg.Logger.Error("replies: reading failed, trying again", "topic", raw.Name, "err", err)
				continue
			}
			for _, h := range r.Headers {
				if h.Key == HeaderRequest {
					d.reply(string(h.Value), r.Value)
				}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// reply keeps a reply and wakes who waits for it. The first reply to a request counts.
func (d *Desk[V, D]) reply(header string, value []byte) {
	id, sum, ok := strings.Cut(header, " ")
	if !ok {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.known.add(id, kept{sum, value})
	if r := d.mu.waiting[id]; r != nil {
		close(r.replied)
		delete(d.mu.waiting, id)
	}
}
