package worker

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// The stream time of a task with stores lies in its changelogs. That of a task without stores lies in the group, beside the offsets of
// each of its inputs, as in Kafka Streams. Sub-topologies may share an input, so the line has one for each of them, in their
// order: "riffle times 1 0=1700000000000 2=1700000000123". The first number is the version of the line; a reader that does not know it,
// or finds no time, has stream time begin anew.

const (
	timesPrefix = "riffle times 1 "
	// noteBytes is the default of Kafka's offset.metadata.max.bytes.
	noteBytes = 4096
)

// note is what is stored beside the offset of a partition: the configured line, and the stream times of tasks without stores.
func (w *Worker) note(topic string, p int32) string {
	var times []string
	for _, r := range w.routes[partition{topic, p}] { // in the order of their sub-topologies
		if t := r.task.StreamTime(); r.state == nil && t > 0 {
			times = append(times, fmt.Sprintf("%d=%d", r.id.SubTopology, t))
		}
	}
	note := w.cfg.Notes[topic]
	if len(times) == 0 {
		return note
	}
	// The times are always behind a line break: the configured line may be empty.
	with := note + "\n" + timesPrefix + strings.Join(times, " ")
	if len(with) > noteBytes {
		return note
	}
	return with
}

// notedTime is the stream time that is noted of a task: the largest that lies beside one of its inputs. An input that stood still
// when it moved has an older one.
func notedTime(notes client.PartitionNotes, r *running) (latest int64) {
	for _, in := range r.inputs {
		latest = max(latest, timeIn(notes[in.topic][r.id.Partition], r.id.SubTopology))
	}
	return latest
}

// timeIn finds the time of a sub-topology in a note, or 0.
func timeIn(note string, sub int) int64 {
	for line := range strings.Lines(note) {
		times, ok := strings.CutPrefix(line, timesPrefix)
		if !ok {
			continue
		}
		for _, t := range strings.Fields(times) {
			if millis, ok := strings.CutPrefix(t, strconv.Itoa(sub)+"="); ok {
				n, err := strconv.ParseInt(millis, 10, 64)
				if err == nil {
					return n
				}
			}
		}
	}
	return 0
}
