package worker

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

// IdleClose is that the stream time of a task went on although no record came. The log has one for each.
type IdleClose struct {
	// Offsets are the next offsets of the task's inputs, by topic.
	Offsets map[string]int64 `json:"offsets"`
	// StreamTime is in milliseconds.
	StreamTime int64 `json:"stream_time"`
}

// lookTimeout bounds the question whether an input has come to its end.
const lookTimeout = 5 * time.Second

// noteIdle sends the note of an idle close with the task's outputs, if the cluster has no more of its inputs than the
// task has seen. A cluster that does not answer has more.
func (w *Worker) noteIdle(r *running, c IdleClose) (bool, error) {
	ctx, cancel := context.WithTimeout(w.ctx, lookTimeout)
	defer cancel()
	ends, err := w.client.Admin().StableOffsets(ctx, r.sub.Inputs...)
	if err != nil {
		w.cfg.Logger.Debug("an input looks idle, but the cluster does not say where it ends", "task", r.id.String(), "err", err)
		return false, nil
	}
	for _, in := range r.inputs {
		if max(in.next, in.start, 0) < ends[in.topic][r.id.Partition] {
			return false, nil
		}
	}
	value, err := json.Marshal(c)
	if err != nil {
		return false, err
	}
	r.dirty = true
	err = r.sink.Emit(client.Output{
		Topic: w.cfg.IdleCloseTopic, Partition: r.id.Partition,
		Key: []byte(r.id.String()), Value: value, Timestamp: time.Now().UnixMilli(),
	})
	if err != nil {
		return false, fmt.Errorf("worker: task %s: note an idle close: %w", r.id, err)
	}
	w.cfg.Logger.Debug("closing windows of idle inputs", "task", r.id.String(), "stream_time", time.UnixMilli(c.StreamTime).UTC())
	return true, nil
}

// readIdleCloses returns the idle closes that the log has of tasks at or behind where they stand.
func (w *Worker) readIdleCloses(ctx context.Context, tasks map[state.TaskID]*running, at map[state.TaskID]standing) (map[state.TaskID][]IdleClose, error) {
	topic := w.cfg.RepeatIdleCloses
	if topic == "" {
		return nil, nil
	}
	admin := w.client.Admin()
	starts, err := admin.StartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	ends, err := admin.EndOffsets(ctx, topic) // as for the changelogs
	if err != nil {
		return nil, err
	}
	var spans []client.Span
	wanted := make(map[int32]bool)
	for id := range tasks {
		if to := ends[topic][id.Partition]; !wanted[id.Partition] && to > 0 {
			wanted[id.Partition] = true
			spans = append(spans, client.Span{Topic: topic, Partition: id.Partition, From: starts[topic][id.Partition], To: to})
		}
	}
	if len(spans) == 0 {
		return nil, nil
	}
	reader, err := client.NewReader(w.cfg.Client.Conn)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	closes := make(map[state.TaskID][]IdleClose)
	err = reader.Read(ctx, spans, func(b client.Batch) error {
		for _, r := range b.Records {
			id, err := state.ParseTaskID(string(r.Key))
			if err != nil || tasks[id] == nil {
				continue
			}
			var c IdleClose
			if err := json.Unmarshal(r.Value, &c); err != nil {
				return fmt.Errorf("worker: topic %s partition %d, offset %d: an idle close does not parse: %w", topic, b.Partition, r.Offset, err)
			}
			if !c.behind(at[id].offsets) {
				closes[id] = append(closes[id], c)
			}
		}
		return nil
	})
	return closes, err
}

// behind reports whether a task that goes on at some offsets has left the place of c behind.
func (c IdleClose) behind(offsets map[string]int64) bool {
	for topic, at := range c.Offsets {
		if offsets[topic] > at {
			return true
		}
	}
	return false
}
