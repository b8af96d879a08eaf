package changelog

import (
	"fmt"

	"github.com/riffle-stream/riffle/state"
)

// Replayer restores one store from its changelog partition:
//
//	r := changelog.NewReplayer(spec, topicID, task.Position(spec.Name))
//	err := r.Check(logStart, logEnd)            // can the log bring the store up to date?
//	for each record from r.From() to logEnd {
//		r.Data(offset, key, value)           // or r.Marker(offset, marker)
//	}
//	err = r.Apply(task)                         // now and then: memory stays bounded
//
// and, when each store of the task has come to the end of its partition, [Align].
//
// If Check, Marker or Align return a [DoubtError], the local data are not to be
// trusted: wipe the task and replay all its stores from the beginning. If that
// again gives a DoubtError, the changelog itself is damaged.
type Replayer struct {
	spec    state.Spec
	topicID [16]byte
	start   state.Position // where the local data stood
	vouched int64          // commits up to it are complete, as far as this store knows
	highest int64          // largest commit sequence seen

	records []record // not applied yet, by offset
	bytes   []byte   // their keys and values
	markers []placed // from the last certain one on, by offset
}

// record is a data record: its key and value stand one after the other in bytes.
type record struct {
	offset           int64
	pos              int
	keyLen, valueLen int // valueLen is -1 for a tombstone
}

// placed is a marker with its offset.
type placed struct {
	offset int64
	Marker
}

// NewReplayer returns a replayer for a store whose local data stand at from. The id
// is the changelog topic's, or zero if the cluster has no topic ids.
func NewReplayer(store state.Spec, topicID [16]byte, from state.Position) *Replayer {
	r := &Replayer{
		spec: store, topicID: topicID, start: from,
		vouched: from.Commit, highest: from.Commit,
	}
	if !from.IsZero() {
		// What is on disk was complete before it got there.
		r.markers = append(r.markers, placed{from.Offset - 1, Marker{
			Commit: from.Commit, Stores: from.Stores,
			StreamTimeMillis: from.StreamTimeMillis, Inputs: from.Inputs,
		}})
	}
	return r
}

// From is the offset to read first.
func (r *Replayer) From() int64 { return r.start.Offset }

// Store is the name of the store.
func (r *Replayer) Store() string { return r.spec.Name }

// Check compares the store's position with what the partition holds: offsets
// [logStart, logEnd). It returns a [DoubtError] if the local data come from another
// topic or are ahead of the log, and a [GapError] if the log no longer has what is
// needed.
func (r *Replayer) Check(logStart, logEnd int64) error {
	switch {
	case r.start.IsZero():
	case r.start.TopicID != r.topicID:
		return r.doubt("the local data come from the topic with id %x, the changelog is %x", r.start.TopicID, r.topicID)
	case r.start.Offset > logEnd:
		return r.doubt("the local data stand at offset %d, the changelog ends at %d", r.start.Offset, logEnd)
	}
	if r.start.Offset < logStart {
		return &GapError{Store: r.spec.Name, Want: r.start.Offset, Have: logStart}
	}
	return nil
}

// Data takes the next record of the partition that is not a marker. A nil value is
// a tombstone. Key and value are copied. Offsets ascend; the ones of a compacted
// partition have gaps.
func (r *Replayer) Data(offset int64, key, value []byte) {
	rec := record{offset: offset, pos: len(r.bytes), keyLen: len(key), valueLen: len(value)}
	if value == nil {
		rec.valueLen = -1
	}
	r.bytes = append(append(r.bytes, key...), value...)
	r.records = append(r.records, rec)
}

// Marker takes the next record of the partition, which is a marker. It returns a
// [LayoutError] or a [DoubtError].
func (r *Replayer) Marker(offset int64, m Marker) error {
	if want := r.spec.Layout(); m.Layout != want {
		return &LayoutError{Store: r.spec.Name, Have: m.Layout, Want: want}
	}
	if m.Complete < r.start.Commit {
		return r.doubt("the local data stand at commit %d, but the marker at offset %d knows only commit %d", r.start.Commit, offset, m.Complete)
	}
	r.vouched = max(r.vouched, m.Complete)
	r.highest = max(r.highest, m.Commit)
	r.markers = append(r.markers, placed{offset, m})
	return nil
}

// Apply hands the changes that certainly belong to complete commits to the task.
// Call it every few thousand records: what is applied is forgotten here.
func (r *Replayer) Apply(task state.Task) error {
	for i := len(r.markers) - 1; i >= 0; i-- {
		if r.markers[i].Commit <= r.vouched {
			return r.applyBelow(task, r.markers[i].offset)
		}
	}
	return nil
}

// applyBelow applies the records before a marker's offset (-1 for none) and moves
// the store's position there.
func (r *Replayer) applyBelow(task state.Task, offset int64) error {
	n := 0
	for n < len(r.records) && r.records[n].offset < offset {
		n++
	}
	if err := r.restore(task, r.records[:n]); err != nil {
		return err
	}
	r.drop(n)
	for len(r.markers) > 1 && r.markers[1].offset <= offset {
		r.markers = r.markers[1:]
	}
	if offset >= r.start.Offset {
		task.SetPosition(r.spec.Name, r.markers[0].Position(r.topicID, offset))
	}
	return nil
}

// restoreStep bounds how many changes are handed over at once.
const restoreStep = 1024

func (r *Replayer) restore(task state.Task, records []record) error {
	changes := make([]state.Change, 0, min(len(records), restoreStep))
	for len(records) > 0 {
		n := min(len(records), restoreStep)
		changes = changes[:0]
		for _, rec := range records[:n] {
			changes = append(changes, r.change(rec))
		}
		if err := task.Restore(r.spec.Name, changes); err != nil {
			return err
		}
		records = records[n:]
	}
	return nil
}

func (r *Replayer) change(rec record) state.Change {
	b := r.bytes[rec.pos:]
	c := state.Change{Key: b[:rec.keyLen:rec.keyLen]}
	if rec.valueLen >= 0 {
		c.Value = b[rec.keyLen : rec.keyLen+rec.valueLen : rec.keyLen+rec.valueLen]
	}
	return c
}

// drop forgets the first n records.
func (r *Replayer) drop(n int) {
	if n == 0 {
		return
	}
	r.records = append(r.records[:0], r.records[n:]...)
	if len(r.records) == 0 {
		r.bytes = r.bytes[:0]
		return
	}
	base := r.records[0].pos
	r.bytes = append(r.bytes[:0], r.bytes[base:]...)
	for i := range r.records {
		r.records[i].pos -= base
	}
}

// of returns the store's marker of the commit that m belongs to, nil if it has
// none.
func (r *Replayer) of(m *Marker) *placed {
	for i := len(r.markers) - 1; i >= 0; i-- {
		if r.markers[i].sameCommit(m) {
			return &r.markers[i]
		}
	}
	return nil
}

func (r *Replayer) doubt(format string, args ...any) error {
	return &DoubtError{Store: r.spec.Name, Reason: fmt.Sprintf(format, args...)}
}
