package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// keyedBatch builds a batch from pairs of keys and values; the value "-" is a
// tombstone. It is stamped with the present.
func keyedBatch(pairs ...string) record.Batch {
	var w record.Builder
	for i := 0; i < len(pairs); i += 2 {
		value := []byte(pairs[i+1])
		if pairs[i+1] == "-" {
			value = nil
		}
		w.Append(time.Now().UnixMilli(), []byte(pairs[i]), value)
	}
	return w.Finish()
}

func (r *raw) mustProduce(topic string, b record.Batch) int64 {
	r.t.Helper()
	answer := r.produce(topic, b)
	if answer.ErrorCode != 0 {
		r.t.Fatalf("produce to %q: error %d, %s", topic, answer.ErrorCode, text(answer.ErrorMessage))
	}
	return answer.BaseOffset
}

// readAll returns the records of partition 0 from offset 0 on, as key=value by offset.
func (r *raw) readAll(topic string) map[int64]string {
	r.t.Helper()
	all := map[int64]string{}
	for at, answer := int64(0), r.fetch(topic, 0); ; answer = r.fetch(topic, at) {
		if answer.ErrorCode != 0 {
			r.t.Fatalf("fetch %q at %d: error %d", topic, at, answer.ErrorCode)
		}
		if at == answer.HighWatermark {
			return all
		}
		for b := answer.RecordBatches; len(b) > 0; {
			batch, rest, err := record.Next(b)
			if err != nil {
				r.t.Fatal(err)
			}
			for rec, err := range batch.Records() {
				if err != nil {
					r.t.Fatal(err)
				}
				value := string(rec.Value)
				if rec.Value == nil {
					value = "-"
				}
				all[rec.Offset] = string(rec.Key) + "=" + value
			}
			at, b = batch.NextOffset(), rest
		}
	}
}

func wantRecords(t *testing.T, got, want map[int64]string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

// compacted makes a topic of which each batch is a segment.
func (r *raw) compacted(name string, configs ...string) {
	r.t.Helper()
	r.create(name, 1, append([]string{"cleanup.policy", "compact", "segment.bytes", "1048576", "segment.ms", "1000", "min.cleanable.dirty.ratio", "0.01"}, configs...)...)
}

// Assertion 25: the last value of a key is kept, a tombstone for its time.
func TestCompaction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t)
		defer brokertest.Stop(t, b)
		r := dial(t, b, "memory")
		r.compacted("cards", "delete.retention.ms", "600000")
		send := func(pairs ...string) {
			_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
			r.mustProduce("cards", keyedBatch(pairs...))
			time.Sleep(2 * time.Second) // the next batch begins a segment
		}
		send("a", "1", "b", "1", "c", "1") // 0 to 2
		send("a", "2", "b", "-")           // 3 and 4
		send("a", "3")                     // 5: active
		before := r.readAll("cards")
		if len(before) != 6 {
			t.Fatalf("records before: %v", before)
		}
		time.Sleep(time.Minute)
		_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
		wantRecords(t, r.readAll("cards"), map[int64]string{2: "c=1", 3: "a=2", 4: "b=-", 5: "a=3"})

		time.Sleep(8 * time.Minute)
		_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
		wantRecords(t, r.readAll("cards"), map[int64]string{2: "c=1", 3: "a=2", 4: "b=-", 5: "a=3"})
		time.Sleep(3 * time.Minute) // delete.retention.ms is over
		_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
		wantRecords(t, r.readAll("cards"), map[int64]string{2: "c=1", 3: "a=2", 5: "a=3"})

		// Offsets go on, and a fetch at an offset that is gone finds what comes next.
		send("d", "1")
		if got := offsets(t, r.fetch("cards", 4).RecordBatches); !cmp.Equal(got, []int64{3}) {
			t.Errorf("fetch at a removed offset: batches at %v, want the one that held it, at 3", got)
		}
	})
}

// Assertion 25, continued: records without keys.
func TestKeylessRefused(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.compacted("cards")
		var w record.Builder
		w.Append(1000, []byte("k"), []byte("v"))
		w.Append(1000, nil, []byte("v"))
		w.Append(1000, []byte(""), []byte("v")) // an empty key is one
		w.Append(1000, nil, nil)
		answer := r.produce("cards", w.Finish())
		if answer.ErrorCode != 87 {
			t.Fatalf("error %d, want INVALID_RECORD", answer.ErrorCode)
		}
		var got []int32
		for _, e := range answer.ErrorRecords {
			got = append(got, e.RelativeOffset)
		}
		if diff := cmp.Diff([]int32{1, 3}, got); diff != "" {
			t.Errorf("indexes of the records (-want +got):\n%s", diff)
		}
		if all := r.readAll("cards"); len(all) != 0 {
			t.Errorf("records %v were stored", all)
		}
	})
}

// Assertion 26: a producer outlives its records.
func TestCompactionKeepsSequences(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := vfs.NewMem()
		b := brokertest.Start(t, brokertest.FS(disk))
		r := dial(t, b, "memory")
		r.compacted("cards")
		send := func(id int64, first int32) kmsg.ProduceResponseTopicPartition {
			t.Helper()
			_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
			var w record.Builder
			w.SetProducer(id, 0, first)
			w.Append(time.Now().UnixMilli(), []byte("k"), fmt.Append(nil, id, first))
			answer := r.produce("cards", w.Finish())
			time.Sleep(2 * time.Second)
			return answer
		}
		for i := range int32(3) {
			send(5, i)
		}
		send(6, 0) // takes the key over
		send(6, 1)
		send(6, 2)
		time.Sleep(time.Minute)
		_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
		if got := slices.Sorted(maps.Keys(r.readAll("cards"))); !cmp.Equal(got, []int64{4, 5}) {
			t.Fatalf("offsets %v, want those of producer 6 only", got)
		}
		brokertest.Stop(t, b)
		removeSnapshots(t, disk)
		b = brokertest.Start(t, brokertest.FS(disk))
		defer brokertest.Stop(t, b)
		r = dial(t, b, "memory")
		if answer := send(5, 2); answer.ErrorCode != 0 || answer.BaseOffset != 2 {
			t.Errorf("repetition: %+v, want offset 2", answer)
		}
		if answer := send(5, 4); answer.ErrorCode != 45 {
			t.Errorf("gap: error %d, want OUT_OF_ORDER_SEQUENCE_NUMBER", answer.ErrorCode)
		}
		if answer := send(5, 3); answer.ErrorCode != 0 || answer.BaseOffset != 6 {
			t.Errorf("next in order: %+v, want offset 6", answer)
		}
	})
}

// removeSnapshots removes what the broker keeps of producers beside the records.
func removeSnapshots(t *testing.T, fsys vfs.FS) {
	t.Helper()
	topics, err := fsys.List("topics")
	if err != nil {
		t.Fatal(err)
	}
	removed := 0
	for _, topic := range topics {
		names, err := fsys.List("topics/" + topic + "/0")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if len(name) > 20 && name[20:] == ".snapshot" {
				removed++
				if err := fsys.Remove("topics/" + topic + "/0/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if removed == 0 {
		t.Fatal("there are no snapshots")
	}
}

// Assertion 24: deleted records stay deleted.
func TestDeleteRecords(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		disk := vfs.NewMem()
		r := start(brokertest.FS(disk))
		r.create("orders", 1)
		r.create("both", 1, "cleanup.policy", "compact,delete")
		r.create("cards", 1, "cleanup.policy", "compact")
		for _, topic := range []string{"orders", "both", "cards"} {
			r.mustProduce(topic, keyedBatch("a", "1", "b", "2", "c", "3"))
			r.mustProduce(topic, keyedBatch("d", "4"))
		}
		for version := int16(0); version <= 2; version++ {
			if code, low := r.deleteRecords(version, "orders", 2); code != 0 || low != 2 {
				t.Errorf("v%d to 2: error %d, low watermark %d", version, code, low)
			}
		}
		for _, tt := range []struct {
			topic  string
			offset int64
			code   int16
		}{
			{"orders", 5, 1}, {"orders", -2, 1}, {"cards", 1, 44}, {"nothing", 1, 3}, {"both", 1, 0},
		} {
			if code, low := r.deleteRecords(2, tt.topic, tt.offset); code != tt.code || code != 0 && low != -1 {
				t.Errorf("%s to %d: error %d, low watermark %d, want error %d", tt.topic, tt.offset, code, low, tt.code)
			}
		}
		brokertest.Stop(t, r.b)
		r = start(brokertest.FS(disk))
		if got := r.listOffset("orders", -2); got != 2 {
			t.Errorf("after a restart the earliest offset is %d, want 2", got)
		}
		if code := r.fetch("orders", 1).ErrorCode; code != 1 {
			t.Errorf("fetch below: error %d, want OFFSET_OUT_OF_RANGE", code)
		}
		if code, low := r.deleteRecords(2, "orders", 1); code != 0 || low != 2 {
			t.Errorf("to 1 again: error %d, low watermark %d, want 2", code, low)
		}
		if code, low := r.deleteRecords(2, "orders", -1); code != 0 || low != 4 {
			t.Errorf("to the high watermark: error %d, low watermark %d, want 4", code, low)
		}
		if base := r.mustProduce("orders", keyedBatch("e", "5")); base != 4 {
			t.Errorf("the next record is at %d, want 4", base)
		}
	})
}

func (r *raw) deleteRecords(version int16, topic string, offset int64) (code int16, low int64) {
	r.t.Helper()
	req := at(version, kmsg.NewPtrDeleteRecordsRequest())
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = offset
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer := do[*kmsg.DeleteRecordsResponse](r, req).Topics[0].Partitions[0]
	return answer.ErrorCode, answer.LowWatermark
}
