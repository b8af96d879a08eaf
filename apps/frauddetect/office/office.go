package office

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/stream"
)

// ErrRefused wraps what is wrong with a change.
var ErrRefused = errors.New("the change is refused")

// Office writes changes. It is safe for concurrent use.
type Office struct {
	cluster  *stream.Cluster
	matching rulebook.Matching
	writer   *stream.Writer[string, desk.Change]

	mu struct {
		sync.Mutex
		book *deciding.Book // what is in force, and what was written since then
	}
}

// Open reads what is in force. The topics must exist, and the cluster stay open until Close.
func Open(ctx context.Context, cluster *stream.Cluster, matching rulebook.Matching) (*Office, error) {
	o := &Office{cluster: cluster, matching: matching}
	if err := o.Reload(ctx); err != nil {
		return nil, err
	}
	writer, err := stream.NewWriter(ctx, cluster, desk.Changes, stream.WriterConfig{Linger: time.Millisecond})
	if err != nil {
		return nil, err
	}
	o.writer = writer
	return o, nil
}

// Close ends the writing.
func (o *Office) Close() error { return o.writer.Close() }

// Entries reads what is in force, by key.
func Entries(ctx context.Context, cluster *stream.Cluster) (map[string]desk.Entry, error) {
	entries := make(map[string]desk.Entry)
	for r, err := range cluster.Read(ctx, desk.InForce) {
		switch {
		case err != nil:
			return nil, err
		case r.Value == nil:
			delete(entries, r.Key)
		default:
			entries[r.Key] = *r.Value
		}
	}
	return entries, nil
}

// Reload forgets what was written here and reads what is in force: after a change was refused where it was read.
func (o *Office) Reload(ctx context.Context) error {
	byKey, err := Entries(ctx, o.cluster)
	if err != nil {
		return err
	}
	var revision int64
	var entries []desk.Entry
	for _, e := range byKey {
		entries = append(entries, e)
		revision = max(revision, e.Revision)
	}
	book, err := deciding.Restore(o.matching, revision, entries)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.book = book
	return nil
}

// Look calls f with what is in force, to read from it.
func (o *Office) Look(f func(*deciding.Book)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(o.mu.book)
}

// Change gives the change an ID and the present time if it has none, checks it, writes it, and waits until it is safe. An error that is
// ErrRefused is for the person who makes the change; nothing was written then.
func (o *Office) Change(ctx context.Context, c desk.Change) (desk.Change, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if c.ID == "" {
		c.ID = rand.Text()
	}
	if c.At.IsZero() {
		c.At = time.Now().UTC().Truncate(time.Millisecond)
	}
	if err := o.mu.book.Check(c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	err := o.writer.Write(ctx, stream.Record[string, desk.Change]{Key: c.Key(), Value: c, Time: c.At})
	if err == nil {
		err = o.writer.Flush(ctx)
	}
	if err != nil {
		return c, fmt.Errorf("write the change of %s: %w", c.Key(), err)
	}
	_, err = o.mu.book.Apply(c)
	return c, err
}

// Wait returns where a change took effect, once it has in all partitions of the inputs, of which there are so many; or what was
// wrong with it.
func (o *Office) Wait(ctx context.Context, id string, partitions int) ([]desk.Application, error) {
	found := make(map[int32]desk.Application)
	const recent = 10_000 // of earlier changes: more than there are between Change and Wait
	for r, err := range o.cluster.Follow(ctx, desk.Applied, recent) {
		if err != nil {
			return nil, err
		}
		if r.Value.ID != id {
			continue
		}
		if r.Value.Error != "" {
			return nil, fmt.Errorf("%w: %s", ErrRefused, r.Value.Error)
		}
		found[r.Value.Partition] = r.Value
		if len(found) < partitions {
			continue
		}
		applied := make([]desk.Application, partitions)
		for p, a := range found {
			if int(p) >= partitions {
				return nil, fmt.Errorf("the change took effect in partition %d of %d: name the real number of partitions", p, partitions)
			}
			applied[p] = a
		}
		return applied, nil
	}
	return nil, fmt.Errorf("the change has not yet taken effect everywhere: %w", context.Cause(ctx))
}
