package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// eager makes the cleaner look all the time.
func eager() brokertest.Option {
	return brokertest.With(func(c *broker.Config) { c.Cleaner.Interval = 5 * time.Millisecond })
}

// oneSegment sends a batch that ends the segment before it, whatever its age: its
// records are an hour younger than those of the batch before.
func oneSegment(ms *int64, pairs ...string) record.Batch {
	*ms += time.Hour.Milliseconds()
	var w record.Builder
	for i := 0; i < len(pairs); i += 2 {
		value := []byte(pairs[i+1])
		if pairs[i+1] == "-" {
			value = nil
		}
		w.Append(*ms, []byte(pairs[i]), value)
	}
	return w.Finish()
}

// yesterday is when the records of these tests begin, so that none lies in the future.
func yesterday() int64 { return time.Now().Add(-24 * time.Hour).UnixMilli() }

// Assertion 25, continued: what compaction leaves, as a client sees it.
func TestCompactionOnTheWire(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(eager(), brokertest.FS(fsys))
		r.compacted("kept", "delete.retention.ms", "86400000")
		r.compacted("gone", "delete.retention.ms", "0")
		for _, topic := range []string{"kept", "gone"} {
			ms := yesterday()
			r.mustProduce(topic, oneSegment(&ms, "a", "1", "b", "1", "c", "1")) // 0 to 2
			r.mustProduce(topic, oneSegment(&ms, "a", "2", "b", "-"))           // 3 and 4
			r.mustProduce(topic, oneSegment(&ms, "a", "3"))                     // 5: active
		}
		for topic, want := range map[string]map[int64]string{
			"kept": {2: "c=1", 3: "a=2", 4: "b=-", 5: "a=3"},
			"gone": {2: "c=1", 3: "a=2", 5: "a=3"},
		} {
			waitFor(t, topic+" to be compacted", func() bool { return cmp.Equal(r.readAll(topic), want) })
			if got := r.listOffset(topic, -2); got != 0 {
				t.Errorf("%s: compaction moved the log start to %d", topic, got)
			}
		}
		before := contents(t, fsys, topicDirOf(t, r, "kept")+"/00000000000000000005.log")
		brokertest.Stop(t, r.b)
		r = start(eager(), brokertest.FS(fsys))
		wantRecords(t, r.readAll("kept"), map[int64]string{2: "c=1", 3: "a=2", 4: "b=-", 5: "a=3"})
		if after := contents(t, fsys, topicDirOf(t, r, "kept")+"/00000000000000000005.log"); !cmp.Equal(before, after) {
			t.Error("the active segment was changed")
		}
	})
}

// topicDirOf is the directory of partition 0 of a topic.
func topicDirOf(t *testing.T, r *raw, name string) string {
	t.Helper()
	req := at(12, kmsg.NewPtrMetadataRequest())
	rt := kmsg.NewMetadataRequestTopic()
	rt.Topic = &name
	req.Topics = append(req.Topics, rt)
	return topicDir(do[*kmsg.MetadataResponse](r, req).Topics[0].TopicID, 0)
}

// Assertion 26, continued: the sequence of a producer whose records are compacted away
// is known after a restart, also without the snapshots.
func TestSequencesOutliveCompaction(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(eager(), brokertest.FS(fsys))
		r.compacted("cards")
		ms := yesterday()
		send := func(id int64, first int32) kmsg.ProduceResponseTopicPartition {
			t.Helper()
			ms += time.Hour.Milliseconds()
			var w record.Builder
			w.SetProducer(id, 0, first)
			w.Append(ms, []byte("k"), []byte("v"))
			return r.produce("cards", w.Finish())
		}
		for _, id := range []int64{5, 6} { // the second one takes the key over
			for first := range int32(3) {
				if answer := send(id, first); answer.ErrorCode != 0 {
					t.Fatalf("producer %d at %d: error %d", id, first, answer.ErrorCode)
				}
			}
		}
		want := map[int64]string{4: "k=v", 5: "k=v"} // 5 is in the active segment
		waitFor(t, "compaction", func() bool { return cmp.Equal(r.readAll("cards"), want) })
		brokertest.Stop(t, r.b)
		removeSnapshots(t, fsys)
		r = start(eager(), brokertest.FS(fsys))
		for _, tc := range []struct {
			what   string
			first  int32
			code   int16
			offset int64
		}{{"the last batch again", 2, 0, 2}, {"a gap", 4, 45, -1}, {"the next batch", 3, 0, 6}} {
			if answer := send(5, tc.first); answer.ErrorCode != tc.code || answer.BaseOffset != tc.offset {
				t.Errorf("%s: error %d, offset %d, want %d and %d", tc.what, answer.ErrorCode, answer.BaseOffset, tc.code, tc.offset)
			}
		}
	})
}
