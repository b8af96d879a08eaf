package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// fetcher is a client that fetches in a session.
type fetcher struct {
	r       *raw
	version int16
	session int32
	epoch   int32
	ids     map[string][16]byte
}

// fetch asks for "topic/partition@offset" and forgets "-topic/partition". It returns
// the error, or the partitions of the answer as "topic/partition:" and what they
// hold.
func (f *fetcher) fetch(partitions ...string) string {
	f.r.t.Helper()
	return f.recv(f.request(partitions...))
}

func (f *fetcher) request(partitions ...string) *kmsg.FetchRequest {
	req := at(f.version, kmsg.NewPtrFetchRequest())
	req.MaxBytes, req.SessionID, req.SessionEpoch = 50<<20, f.session, f.epoch
	for _, text := range partitions {
		var (
			offset    int64
			partition int32
		)
		text, forget := strings.CutPrefix(text, "-")
		text, at, _ := strings.Cut(text, "@")
		name, index, _ := strings.Cut(text, "/")
		fmt.Sscan(at, &offset)
		fmt.Sscan(index, &partition)
		if forget {
			ft := kmsg.NewFetchRequestForgottenTopic()
			ft.Topic, ft.TopicID, ft.Partitions = name, f.ids[name], []int32{partition}
			req.ForgottenTopics = append(req.ForgottenTopics, ft)
			continue
		}
		rt := kmsg.NewFetchRequestTopic()
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = partition, offset, 1<<20
		rt.Topic, rt.TopicID, rt.Partitions = name, f.ids[name], append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
	}
	return req
}

func (f *fetcher) recv(req *kmsg.FetchRequest) string {
	f.r.t.Helper()
	resp := do[*kmsg.FetchResponse](f.r, req)
	if resp.ErrorCode != 0 {
		return fmt.Sprintf("error %d", resp.ErrorCode)
	}
	f.session = resp.SessionID
	f.epoch++
	names := map[[16]byte]string{}
	for name, id := range f.ids {
		names[id] = name
	}
	var out []string
	for _, st := range resp.Topics {
		if f.version >= 13 {
			st.Topic = names[st.TopicID]
		}
		for _, sp := range st.Partitions {
			what := fmt.Sprintf("%s/%d:", st.Topic, sp.Partition)
			if sp.ErrorCode != 0 {
				what += fmt.Sprintf("error %d", sp.ErrorCode)
			} else if n := len(offsets(f.r.t, sp.RecordBatches)); n > 0 {
				what += fmt.Sprintf("%d batches", n)
			} else {
				what += fmt.Sprintf("high watermark %d", sp.HighWatermark)
			}
			out = append(out, what)
		}
	}
	return strings.Join(out, ", ")
}

// wantFetch is a step of a fetcher's story.
func (f *fetcher) want(want string, partitions ...string) {
	f.r.t.Helper()
	if got := f.fetch(partitions...); got != want {
		f.r.t.Errorf("v%d, session %d: fetch %v:\n got %s\nwant %s", f.version, f.session, partitions, got, want)
	}
}

func TestFetchSession(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		for _, version := range []int16{7, 12, 13, 18} {
			r := start()
			f := &fetcher{r: r, version: version, ids: map[string][16]byte{}}
			for _, name := range []string{"a", "b", "c"} {
				f.ids[name] = r.create(name, 2)
			}
			r.produce("a", batch(1, "x"))
			f.want("a/0:1 batches, a/1:high watermark 0, b/0:high watermark 0", "a/0@0", "a/1@0", "b/0@0")
			if f.session == 0 {
				t.Fatalf("v%d: no session", version)
			}
			f.want("", "a/0@1")
			f.want("")
			r.produce("b", batch(1, "x"))
			f.want("b/0:1 batches")
			f.want("b/0:1 batches") // until its offset moves
			f.want("c/1:high watermark 0", "b/0@1", "c/1@0")
			r.produce("c", batch(1, "x"))
			f.want("") // partition 0 of c is not in the session
			f.want("", "-a/0")
			r.produce("a", batch(1, "x"))
			f.want("")
			f.want("a/0:1 batches", "a/0@1")
			f.want(fmt.Sprintf("b/0:error %d", kerr.OffsetOutOfRange.Code), "a/0@2", "b/0@99")
			f.want(fmt.Sprintf("b/0:error %d", kerr.OffsetOutOfRange.Code))
			f.want("b/0:high watermark 1", "b/0@1")

			// A topic that goes leaves the others alone, and is told of until it is
			// forgotten.
			del := at(1, kmsg.NewPtrDeleteTopicsRequest())
			del.TopicNames = []string{"b"}
			do[*kmsg.DeleteTopicsResponse](r.again(), del)
			gone := kerr.UnknownTopicOrPartition.Code
			if version >= 13 {
				gone = kerr.UnknownTopicID.Code
			}
			f.want(fmt.Sprintf("b/0:error %d", gone))
			f.want("", "-b/0")

			// With nothing left the session is over.
			session := f.session
			f.want("", "-a/0", "-a/1", "-c/1")
			if f.session != 0 {
				t.Errorf("v%d: session %d goes on with no partitions", version, f.session)
			}
			f.session = session
			f.want(fmt.Sprintf("error %d", kerr.FetchSessionIDNotFound.Code))
		}
	})
}

func TestFetchSessionErrors(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.MaxFetchSessions, c.MaxFetchSessionPartitions = 2, 5 }))
		ids := map[string][16]byte{"a": r.create("a", 9)}
		begin := func(partitions ...string) *fetcher {
			f := &fetcher{r: r, version: 12, ids: ids}
			f.fetch(partitions...)
			return f
		}
		notFound, badEpoch := fmt.Sprintf("error %d", kerr.FetchSessionIDNotFound.Code), fmt.Sprintf("error %d", kerr.InvalidFetchSessionEpoch.Code)
		for _, tc := range []struct {
			id, epoch int32
			want      string
		}{
			{0, -1, "a/0:high watermark 0"},
			{5, -1, "a/0:high watermark 0"},
			{5, 1, notFound},
			{0, 1, notFound},
		} {
			f := &fetcher{r: r, version: 12, session: tc.id, epoch: tc.epoch, ids: ids}
			if got := f.fetch("a/0@0"); got != tc.want || f.session != tc.id && f.session != 0 {
				t.Errorf("session %d epoch %d: %s and session %d, want %s without a session", tc.id, tc.epoch, got, f.session, tc.want)
			}
		}

		f := begin("a/0@0")
		f.epoch = 3
		f.want(badEpoch)
		f.epoch = 1
		f.version = 13
		f.want(fmt.Sprintf("error %d", kerr.FetchSessionTopicIDError.Code))
		f.version = 12
		f.want("")
		f.epoch = 1
		f.want(badEpoch) // again
		f.epoch = -2
		f.want(badEpoch)
		f.epoch = 2
		f.want("")

		// All once more: the old session is over, the new one another.
		old := f.session
		f.epoch = 0
		f.want("a/0:high watermark 0, a/1:high watermark 0", "a/0@0", "a/1@0")
		if f.session == old || f.session == 0 {
			t.Errorf("session %d after %d", f.session, old)
		}
		f.want("")
		stale := &fetcher{r: r, version: 12, session: old, epoch: 3, ids: ids}
		stale.want(notFound)

		// What is over the limits works without a session.
		second := begin("a/2@0")
		if second.session == 0 {
			t.Error("no second session")
		}
		if third := begin("a/3@0"); third.session != 0 {
			t.Errorf("session %d above MaxFetchSessions", third.session)
		}
		second.want(notFound, "a/3@0", "a/4@0", "a/5@0") // six partitions in all
		second.session, second.epoch = 0, 0
		second.want("a/2:high watermark 0, a/3:high watermark 0, a/4:high watermark 0, a/5:high watermark 0", "a/2@0", "a/3@0", "a/4@0", "a/5@0")
		if second.session != 0 {
			t.Errorf("session %d above MaxFetchSessionPartitions", second.session)
		}

		// A request that ends a session is answered in full.
		f.epoch = -1
		f.want("a/0:high watermark 0", "a/0@0")
		if third := begin("a/3@0"); third.session == 0 {
			t.Error("there is room, but no session")
		}
	})
}

// One request at a time uses a session; another is told, and does not wait.
func TestFetchSessionIsBusy(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		f := &fetcher{r: r, version: 12, ids: map[string][16]byte{"a": r.create("a", 1)}}
		f.fetch("a/0@0")
		waiting := f.request()
		waiting.MaxWaitMillis, waiting.MinBytes = 15_000, 1
		r.send(waiting)
		f.epoch++
		other := &fetcher{r: r.again(), version: 12, session: f.session, epoch: f.epoch, ids: f.ids}
		if other.fetch() != fmt.Sprintf("error %d", kerr.InvalidFetchSessionEpoch.Code) {
			t.Fatal("a second request got into the session")
		}
		other.r.produce("a", batch(1, "x"))
		if got := recv[*kmsg.FetchResponse](r, waiting); len(got.Topics) != 1 {
			t.Errorf("the waiting fetch got %d topics, want 1", len(got.Topics))
		}
		f.want("a/0:1 batches")
	})
}

// Where an answer is too small for all, each partition has its turn.
func TestFetchSessionIsFair(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		f := &fetcher{r: r, version: 12, ids: map[string][16]byte{}}
		for _, name := range []string{"a", "b", "c"} {
			f.ids[name] = r.create(name, 1)
			for range 3 {
				r.produce(name, batch(1, strings.Repeat("x", 1000)))
			}
		}
		f.fetch("a/0@9", "b/0@9", "c/0@9") // out of range: no records yet
		offsets := map[string]int{}
		got := ""
		for i := range 9 {
			moved := []string{"a/0@0", "b/0@0", "c/0@0"}
			if i > 0 {
				last := string(got[len(got)-1])
				moved = []string{fmt.Sprintf("%s/0@%d", last, offsets[last])}
			}
			req := f.request(moved...)
			req.MaxBytes = 1000
			resp := do[*kmsg.FetchResponse](r, req)
			f.epoch++
			for _, st := range resp.Topics {
				for _, sp := range st.Partitions {
					if len(sp.RecordBatches) > 0 {
						got += st.Topic
						offsets[st.Topic]++
					}
				}
			}
		}
		if want := "abcabcabc"; got != want {
			t.Errorf("turns %s, want %s", got, want)
		}
	})
}
