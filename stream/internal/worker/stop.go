package worker

import (
	"context"
	"slices"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// stopper finds out whether everything is processed: what the source topics held when the run began, or when
// InputsDone was closed, and what that left in the topics that the application itself writes. It looks at the whole group, so that an
// instance does not stop while another one is still writing to its partitions.
type stopper struct {
	w       *Worker
	admin   *client.Admin
	sources []string
	ends    client.Offsets // of the sources; nil while their writers are not done
}

func newStopper(w *Worker) *stopper {
	s := &stopper{w: w, admin: w.client.Admin()}
	for _, sub := range w.cfg.Subs {
		for _, topic := range sub.Inputs {
			if !slices.Contains(w.cfg.OwnInputs, topic) && !slices.Contains(s.sources, topic) {
				s.sources = append(s.sources, topic)
			}
		}
	}
	return s
}

// step is called after each round.
func (s *stopper) step(ctx context.Context, polled int) (done bool, err error) {
	if err := s.look(ctx); err != nil {
		return false, err
	}
	s.pause()
	s.w.cfg.Metrics.progress.Set(s.progress())
	if polled > 0 {
		return false, nil
	}
	return s.done(ctx)
}

// look finds out where the sources end, once it is time.
func (s *stopper) look(ctx context.Context) (err error) {
	if s.ends != nil {
		return nil
	}
	if done := s.w.cfg.InputsDone; done != nil {
		select {
		case <-done:
		default:
			return nil
		}
	}
	s.ends, err = s.admin.EndOffsets(ctx, s.sources...)
	return err
}

// pause stops reading sources that have come to their ends: others may go on writing to them.
func (s *stopper) pause() {
	for _, r := range s.w.order {
		for _, in := range r.inputs {
			end, source := s.ends[in.topic][r.id.Partition]
			if source && !in.ended && in.next >= end {
				in.ended = true
				r.task.Ended(in.topic)
				s.w.client.Pause(in.topic, r.id.Partition)
			}
		}
	}
}

// progress is the share of the sources' partitions of this instance that was read.
func (s *stopper) progress() float64 {
	var read, all int64
	for _, r := range s.w.order {
		for _, in := range r.inputs {
			end := s.ends[in.topic][r.id.Partition]
			read, all = read+min(max(in.next, in.start, 0), end), all+end
		}
	}
	if all == 0 {
		return 0
	}
	return float64(read) / float64(all)
}

// done is asked when a poll brought nothing.
func (s *stopper) done(ctx context.Context) (bool, error) {
	w := s.w
	if s.ends == nil || !w.joined || len(w.wanted) > 0 || w.opening != nil {
		return false, nil
	}
	for _, r := range w.order {
		if r.task.Queued() > 0 || r.full || s.reads(r) {
			return false, nil
		}
	}
	if err := w.commit(ctx); err != nil {
		return false, err
	}
	// The order matters: an end that is read after the commits can only be reached by them if nobody wrote in
	// between. So the writers of the topic had finished, and what they wrote is processed.
	committed, err := s.admin.Committed(ctx, w.cfg.App)
	if err != nil {
		return false, err
	}
	starts, err := s.admin.StartOffsets(ctx, slices.Concat(s.sources, w.cfg.OwnInputs)...)
	if err != nil {
		return false, err
	}
	ends, err := s.admin.EndOffsets(ctx, w.cfg.OwnInputs...)
	if err != nil {
		return false, err
	}
	return reached(s.ends, committed, starts) && reached(ends, committed, starts), nil
}

// reads reports whether a task is in the middle of a source. A poll may bring nothing because the cluster is slow.
func (s *stopper) reads(r *running) bool {
	return slices.ContainsFunc(r.inputs, func(in *input) bool {
		end, source := s.ends[in.topic][r.id.Partition]
		return source && in.next >= 0 && in.next < end
	})
}

// reached reports whether the committed offsets have come to the ends. A partition stands at its start if it has no
// commit, or one of records that retention has removed.
func reached(ends, committed, starts client.Offsets) bool {
	for topic, partitions := range ends {
		for p, end := range partitions {
			at, ok := committed[topic][p]
			if start := starts[topic][p]; !ok || at < start {
				at = start
			}
			if at < end {
				return false
			}
		}
	}
	return true
}
