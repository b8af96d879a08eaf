package worker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/changelog"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

const (
	// applyEvery bounds the memory of a long restore: after so many records what is certain goes to the store.
	applyEvery = 10_000
	// progressEvery is how often a long restore says how far it is.
	progressEvery = 2 * time.Second
)

// standing is where a task's state stands after its restore.
type standing struct {
	offsets    map[string]int64
	streamTime int64
}

// replay restores one store of one task.
type replay struct {
	r        *running
	store    *changelogStore
	replayer *changelog.Replayer
	span     client.Span
	since    int   // records since the last Apply
	doubt    error // why the local data cannot be trusted
}

// restore brings the stores of the tasks up to their changelogs. Local data that do not fit are thrown away, once:
// the store is a cache, the changelog is the truth.
func (w *Worker) restore(ctx context.Context, tasks map[state.TaskID]*running) (map[state.TaskID]standing, error) {
	restored := make(map[state.TaskID]standing, len(tasks))
	var todo []*running
	for _, r := range tasks {
		if r.state != nil {
			todo = append(todo, r)
		}
	}
	for again := false; len(todo) > 0; again = true {
		doubted, err := w.restoreOnce(ctx, todo, restored)
		if err != nil {
			return nil, fmt.Errorf("worker: restore state: %w", err)
		}
		todo = todo[:0]
		for r, why := range doubted {
			if again {
				return nil, fmt.Errorf("worker: restore state of task %s: the changelog itself is damaged: %w", r.id, why)
			}
			w.cfg.Logger.Warn("local state does not fit its changelog, restoring it from the beginning",
				"app", w.cfg.App, "task", r.id.String(), "why", why)
			if err := w.wipe(r); err != nil {
				return nil, err
			}
			todo = append(todo, r)
		}
	}
	return restored, nil
}

// wipe empties the stores of a task, to be restored from the beginning.
func (w *Worker) wipe(r *running) error {
	w.cfg.Metrics.wiped()
	r.replays = nil
	if err := r.state.Wipe(); err != nil {
		return fmt.Errorf("worker: empty the state of task %s: %w", r.id, err)
	}
	return nil
}

// restoreOnce restores the tasks from where their local data stand. It returns those whose data are in doubt.
func (w *Worker) restoreOnce(ctx context.Context, tasks []*running, restored map[state.TaskID]standing) (map[*running]error, error) {
	replays, err := w.planRestore(ctx, tasks)
	if err != nil {
		return nil, err
	}
	if err := w.read(ctx, replays); err != nil {
		return nil, err
	}
	doubted := make(map[*running]error)
	replayers := make(map[*running][]*changelog.Replayer)
	for _, rp := range replays {
		replayers[rp.r] = append(replayers[rp.r], rp.replayer)
		if rp.doubt != nil {
			doubted[rp.r] = rp.doubt
		}
	}
	for _, r := range tasks {
		if doubted[r] != nil {
			continue
		}
		aligned, err := changelog.Align(r.state, replayers[r])
		var doubt *changelog.DoubtError
		switch {
		case errors.As(err, &doubt):
			doubted[r] = err
		case err != nil:
			return nil, fmt.Errorf("task %s: %w", r.id, err)
		default:
			restored[r.id] = w.align(r, aligned)
		}
	}
	return doubted, nil
}

// align takes over where the stores of a task stand.
func (w *Worker) align(r *running, a changelog.Aligned) standing {
	at := standing{offsets: make(map[string]int64), streamTime: a.StreamTimeMillis}
	for _, in := range a.Inputs {
		at.offsets[in.Topic] = in.Offset
	}
	r.commit = a.NextCommit
	r.complete = a.Commit
	if a.Repaired > 0 {
		r.dirty = true // the next commit puts right what a crash left half-written in the changelogs
		w.cfg.Logger.Info("a changelog ends in an unfinished commit, taking it back",
			"app", w.cfg.App, "task", r.id.String(), "changes", a.Repaired)
	}
	return at
}

// planRestore decides from where each store is restored. A store that was followed goes on where it was.
func (w *Worker) planRestore(ctx context.Context, tasks []*running) ([]*replay, error) {
	topics := make(map[string]bool)
	for _, r := range tasks {
		for _, spec := range r.sub.Stores {
			topics[changelog.Topic(w.cfg.App, spec.Name)] = true
		}
	}
	names := slices.Sorted(maps.Keys(topics))
	admin := w.client.Admin()
	found, err := admin.Topics(ctx, names...)
	if err != nil {
		return nil, err
	}
	starts, err := admin.StartOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	ends, err := admin.EndOffsets(ctx, names...)
	if err != nil {
		return nil, err
	}
	var replays []*replay
	for _, r := range tasks {
		if r.replays == nil {
			r.stores = nil
			for _, spec := range r.sub.Stores {
				s := &changelogStore{spec: spec, topic: changelog.Topic(w.cfg.App, spec.Name)}
				s.topicID = found[s.topic].ID
				rp := &replay{r: r, store: s, replayer: changelog.NewReplayer(spec, s.topicID, r.state.Position(spec.Name))}
				rp.span = client.Span{Topic: s.topic, Partition: r.id.Partition, From: rp.replayer.From()}
				r.stores, r.replays = append(r.stores, s), append(r.replays, rp)
			}
		}
		for _, rp := range r.replays {
			start, ok := starts[rp.span.Topic][rp.span.Partition]
			if !ok {
				return nil, fmt.Errorf("changelog topic %s has no partition %d: the number of partitions of %s has grown, and keys have moved to other tasks; rename the application, or its stores",
					rp.span.Topic, rp.span.Partition, strings.Join(r.sub.Inputs, ", "))
			}
			rp.span.To = ends[rp.span.Topic][rp.span.Partition]
			if err := rp.doubtful(rp.check(found[rp.span.Topic].ID, start)); err != nil {
				return nil, err
			}
		}
		replays = append(replays, r.replays...)
	}
	return replays, nil
}

// check says whether the log can bring the store up to date.
func (rp *replay) check(topicID [16]byte, start int64) error {
	switch next := rp.span.From; {
	case topicID == rp.store.topicID && next == rp.replayer.From():
		return rp.replayer.Check(start, rp.span.To)
	case topicID != rp.store.topicID || next > rp.span.To:
		return &changelog.DoubtError{Store: rp.store.spec.Name, Reason: "the changelog was made again while it was followed"}
	case next < start:
		return &changelog.GapError{Store: rp.store.spec.Name, Want: next, Have: start}
	}
	return nil
}

// read feeds the changelogs to the replayers.
func (w *Worker) read(ctx context.Context, replays []*replay) error {
	var spans []client.Span
	byPartition := make(map[partition]*replay)
	var left int64
	for _, rp := range replays {
		if rp.doubt == nil && rp.span.From < rp.span.To {
			spans = append(spans, rp.span)
			byPartition[partition{rp.span.Topic, rp.span.Partition}] = rp
			left += rp.span.To - rp.span.From
		}
	}
	if len(spans) == 0 {
		return nil
	}
	reader, err := client.NewReader(w.cfg.Client.Conn)
	if err != nil {
		return err
	}
	defer reader.Close()
	total, start, told := left, time.Now(), time.Now()
	for _, rp := range byPartition {
		w.cfg.Metrics.restoring(rp.store.spec.Name, rp.r.id.Partition, rp.span.To-rp.span.From)
	}
	defer w.cfg.Metrics.restoreDone()
	return reader.Read(ctx, spans, func(b client.Batch) error {
		rp := byPartition[partition{b.Topic, b.Partition}]
		read := b.Next - rp.span.From
		if err := rp.feed(b); err != nil {
			return err
		}
		left -= read
		w.cfg.Metrics.restored(rp.store.spec.Name, rp.r.id.Partition, len(b.Records), rp.span.To-rp.span.From)
		if now := time.Now(); now.Sub(told) >= progressEvery {
			told = now
			w.cfg.Logger.Info("restoring state", "app", w.cfg.App, "left", left, "of", total, "after", now.Sub(start).Round(time.Second))
		}
		return nil
	})
}

// doubtful keeps an error that wiping the task remedies, and returns any other.
func (rp *replay) doubtful(err error) error {
	var doubt *changelog.DoubtError
	if errors.As(err, &doubt) {
		rp.doubt = err
		return nil
	}
	return err
}

// feed takes a batch of the changelog.
func (rp *replay) feed(b client.Batch) error {
	for i := range b.Records {
		if err := rp.doubtful(rp.take(&b.Records[i])); err != nil {
			return err
		}
	}
	rp.span.From = b.Next
	return nil
}

// take feeds one changelog record to the replayer.
func (rp *replay) take(rec *client.Record) error {
	if rp.doubt != nil {
		return nil
	}
	if isMarker(rec) {
		m, err := changelog.ParseMarker(rec.Value)
		if err == nil {
			err = rp.replayer.Marker(rec.Offset, m)
		}
		if err != nil {
			return fmt.Errorf("topic %s partition %d: %w", rp.store.topic, rp.r.id.Partition, err)
		}
	} else {
		rp.replayer.Data(rec.Offset, rec.Key, rec.Value)
	}
	if rp.since++; rp.since < applyEvery {
		return nil
	}
	rp.since = 0
	return rp.replayer.Apply(rp.r.state)
}

func isMarker(rec *client.Record) bool {
	for _, h := range rec.Headers {
		if h.Key == changelog.HeaderMarker {
			return true
		}
	}
	return false
}
