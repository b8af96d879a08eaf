package broker_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Wherever the disk gets full, a change is there as a whole or not at all, also after
// a crash, and works once there is room.
func TestChangesOnAFullDisk(t *testing.T) {
	t.Parallel()
	refused, done := 0, 0
	for room := int64(64); room <= 4<<20; room *= 2 {
		fsys := vfs.NewMem()
		b := brokertest.Start(t, brokertest.FS(fsys))
		r := dial(t, b, "memory")
		r.create("orders", 1)
		partitions, retention := 1, ""
		check := func(when string, r *raw) {
			t.Helper()
			set, _ := r.topicConfigs("orders")
			if got := r.partitions("orders"); got != partitions || set["retention.ms"] != retention {
				t.Errorf("room for %d bytes, %s: %d partitions, configs %v, want %d, retention.ms %q", room, when, got, maps.Clone(set), partitions, retention)
			}
		}
		change := func(ms string, count int32) {
			t.Helper()
			grown := do[*kmsg.CreatePartitionsResponse](r, at(3, growRequest("orders", count))).Topics[0].ErrorCode
			altered := do[*kmsg.IncrementalAlterConfigsResponse](r, at(1, incremental("orders", "retention.ms="+ms))).Resources[0].ErrorCode
			for what, code := range map[string]int16{"grow": grown, "alter": altered} {
				if code != 0 && code != 56 {
					t.Errorf("room for %d bytes: %s: error %d, want 56 if any", room, what, code)
				}
				if code == 0 {
					done++
				} else {
					refused++
				}
			}
			if grown == 0 {
				partitions = int(count)
			}
			if altered == 0 {
				retention = ms
			}
		}
		fsys.SetCapacity(fsys.Used() + room)
		change("1000", 4)
		check("on the full disk", r)
		fsys.SetCapacity(1 << 30)
		check("after a crash", dial(t, brokertest.Start(t, brokertest.FS(fsys.CrashClone(50, rand.New(rand.NewPCG(1, uint64(room)))))), "memory"))
		change("2000", 6)
		if want := fmt.Sprint(6, "2000"); fmt.Sprint(partitions, retention) != want {
			t.Errorf("room for %d bytes, then more: %d partitions, retention.ms %s", room, partitions, retention)
		}
		check("with room", r)
	}
	if t.Logf("%d refused, %d done", refused, done); refused < 4 || done < 40 {
		t.Errorf("%d changes refused and %d done: the disk was never full, or always", refused, done)
	}
}

// A topic is changed while others write and read it: nothing is lost, and the race
// detector has something to look at.
func TestChangesWhileServing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	r := dial(t, b, "memory")
	r.create("orders", 1)
	const writers, each = 3, 60
	var g errgroup.Group
	for range writers {
		client := brokertest.Client(t, b, kgo.DefaultProduceTopic("orders"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()), kgo.MetadataMinAge(10*time.Millisecond))
		g.Go(func() error {
			for i := range each {
				if err := client.ProduceSync(t.Context(), kgo.StringRecord(strconv.Itoa(i))).FirstErr(); err != nil {
					return err
				}
				client.ForceMetadataRefresh()
			}
			return nil
		})
	}
	reader := brokertest.Client(t, b, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.MetadataMinAge(10*time.Millisecond), kgo.MetadataMaxAge(20*time.Millisecond))
	g.Go(func() error {
		for got := 0; got < writers*each; {
			fetches := reader.PollFetches(t.Context())
			if err := fetches.Err(); err != nil {
				return err
			}
			got += fetches.NumRecords()
		}
		return nil
	})
	for i := range int32(12) {
		flush := []string{"os", "each"}[i%2]
		if code := do[*kmsg.IncrementalAlterConfigsResponse](r, at(1, incremental("orders", "riffle.flush="+flush, "segment.bytes="+strconv.Itoa(int(1024+i))))).Resources[0].ErrorCode; code != 0 {
			t.Errorf("alter: error %d", code)
		}
		if code := do[*kmsg.CreatePartitionsResponse](r, at(3, growRequest("orders", 2+i))).Topics[0].ErrorCode; code != 0 {
			t.Errorf("grow: error %d", code)
		}
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
}
