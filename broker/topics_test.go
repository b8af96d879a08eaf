package broker_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Assertion 48: counts of -1 are the defaults.
func TestCreateTopics(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.DefaultPartitions = 3 }))
		replicas := func(n int16) func(*kmsg.CreateTopicsRequest) {
			return func(req *kmsg.CreateTopicsRequest) { req.Topics[0].ReplicationFactor = n }
		}
		assign := func(nodes ...int32) func(*kmsg.CreateTopicsRequest) {
			return func(req *kmsg.CreateTopicsRequest) {
				req.Topics[0].NumPartitions = -1
				for i, n := range nodes {
					a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
					a.Partition, a.Replicas = int32(i), []int32{n}
					req.Topics[0].ReplicaAssignment = append(req.Topics[0].ReplicaAssignment, a)
				}
			}
		}
		for _, tc := range []struct {
			name       string
			partitions int32
			configs    []string
			change     func(*kmsg.CreateTopicsRequest)
			code       int16
			got        int32 // partitions
		}{
			{name: "plain", partitions: 2, got: 2},
			{name: "defaults", partitions: -1, got: 3},
			{name: "rf1", partitions: 1, change: replicas(1), got: 1},
			{name: "rf3", partitions: 1, change: replicas(3), code: 38},
			{name: "rf0", partitions: 1, change: replicas(0), code: 38},
			{name: "none", partitions: 0, code: 37},
			{name: "negative", partitions: -2, code: 37},
			{name: "toomany", partitions: 10_001, code: 37},
			{name: "a/b", partitions: 1, code: 17},
			{name: "..", partitions: 1, code: 17},
			{name: "", partitions: 1, code: 17},
			{name: "configured", partitions: 1, configs: []string{"cleanup.policy", "compact", "retention.ms", "-1"}, got: 1},
			{name: "misspelt", partitions: 1, configs: []string{"retention.mss", "1"}, code: 40},
			{name: "badvalue", partitions: 1, configs: []string{"retention.ms", "soon"}, code: 40},
			{name: "assigned", change: assign(1, 1), got: 2},
			{name: "elsewhere", change: assign(1, 2), code: 39},
			{name: "dry", partitions: 2, change: func(req *kmsg.CreateTopicsRequest) { req.ValidateOnly = true }, got: 2},
			{name: "drybad", partitions: 0, change: func(req *kmsg.CreateTopicsRequest) { req.ValidateOnly = true }, code: 37},
			{name: "twice", partitions: 1, change: func(req *kmsg.CreateTopicsRequest) { req.Topics = append(req.Topics, req.Topics[0]) }, code: 42},
		} {
			req := at(7, createRequest(tc.name, tc.partitions, tc.configs...))
			if tc.change != nil {
				tc.change(req)
			}
			resp := do[*kmsg.CreateTopicsResponse](r, req)
			st := resp.Topics[0]
			if len(resp.Topics) != 1 || st.ErrorCode != tc.code {
				t.Errorf("%q: %d answers, error %d (%s), want one with error %d", tc.name, len(resp.Topics), st.ErrorCode, text(st.ErrorMessage), tc.code)
				continue
			}
			if tc.code == 0 && (st.NumPartitions != tc.got || st.ReplicationFactor != 1 || len(st.Configs) == 0) {
				t.Errorf("%q: %d partitions, %d replicas, %d configs, want %d, 1 and some", tc.name, st.NumPartitions, st.ReplicationFactor, len(st.Configs), tc.got)
			}
			if tc.code != 0 && text(st.ErrorMessage) == "null" {
				t.Errorf("%q: error %d without a message", tc.name, tc.code)
			}
		}
		for v := int16(2); v <= 7; v++ {
			resp := do[*kmsg.CreateTopicsResponse](r, at(v, createRequest("plain", 1)))
			if code := resp.Topics[0].ErrorCode; code != 36 {
				t.Errorf("v%d: create a topic that exists: error %d, want 36", v, code)
			}
		}
		meta := do[*kmsg.MetadataResponse](r, at(4, kmsg.NewPtrMetadataRequest()))
		for _, st := range meta.Topics {
			if *st.Topic == "dry" || *st.Topic == "a/b" {
				t.Errorf("topic %q was made", *st.Topic)
			}
		}
	})
}

func TestDeleteTopics(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		deleteByName := func(version int16, name string) int16 {
			req := at(version, kmsg.NewPtrDeleteTopicsRequest())
			req.TopicNames = []string{name}
			if version >= 6 {
				rt := kmsg.NewDeleteTopicsRequestTopic()
				rt.Topic = &name
				req.Topics = append(req.Topics, rt)
			}
			return do[*kmsg.DeleteTopicsResponse](r, req).Topics[0].ErrorCode
		}
		for v := int16(1); v <= 6; v++ {
			r.create("orders", 2)
			if got := r.produce("orders", batch(1, "a")); got.ErrorCode != 0 {
				t.Fatalf("produce: error %d", got.ErrorCode)
			}
			if code := deleteByName(v, "orders"); code != 0 {
				t.Errorf("v%d: error %d", v, code)
			}
			if code := deleteByName(v, "orders"); code != 3 {
				t.Errorf("v%d, again: error %d, want 3", v, code)
			}
			if code := r.fetch("orders", 0).ErrorCode; code != 3 {
				t.Errorf("fetch from a deleted topic: error %d, want 3", code)
			}
		}
		id := r.create("orders", 1)
		if p := r.fetch("orders", 0); p.HighWatermark != 0 {
			t.Errorf("a topic that was made anew has %d records", p.HighWatermark)
		}
		req := at(6, kmsg.NewPtrDeleteTopicsRequest())
		for _, id := range [][16]byte{id, id, {9}} {
			rt := kmsg.NewDeleteTopicsRequestTopic()
			rt.TopicID = id
			req.Topics = append(req.Topics, rt)
		}
		var codes []int16
		for _, st := range do[*kmsg.DeleteTopicsResponse](r, req).Topics {
			codes = append(codes, st.ErrorCode)
		}
		if want := []int16{0, 100, 100}; !cmp.Equal(want, codes) {
			t.Errorf("by id, again, unknown: %v, want %v", codes, want)
		}
	})
}

// Assertion 9: a topic that is made again under its old name is another topic, and
// clients that hold the old id are told.
func TestTopicIDs(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 1)
		brokertest.Stop(t, r.b)

		r = start(brokertest.FS(fsys))
		byID := func(id [16]byte) int16 {
			req := at(13, fetchRequest("orders", 0))
			req.Topics[0].TopicID = id
			return do[*kmsg.FetchResponse](r, req).Topics[0].Partitions[0].ErrorCode
		}
		if code := byID(id); code != 0 {
			t.Errorf("fetch by id after a restart: error %d", code)
		}
		del := at(1, kmsg.NewPtrDeleteTopicsRequest())
		del.TopicNames = []string{"orders"}
		do[*kmsg.DeleteTopicsResponse](r, del)
		again := r.create("orders", 1)
		if again == id {
			t.Errorf("the new topic has the old one's id %x", id)
		}
		if code := byID(id); code != kerr.UnknownTopicID.Code {
			t.Errorf("fetch by the old id: error %d, want %d", code, kerr.UnknownTopicID.Code)
		}
		if code := byID(again); code != 0 {
			t.Errorf("fetch by the new id: error %d", code)
		}
	})
}

func TestDescribeConfigs(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1, "retention.ms", "1000", "riffle.flush", "os")
		for v := int16(1); v <= 4; v++ {
			req := at(v, kmsg.NewPtrDescribeConfigsRequest())
			req.IncludeSynonyms = true
			for _, res := range []struct {
				kind kmsg.ConfigResourceType
				name string
			}{{kmsg.ConfigResourceTypeTopic, "orders"}, {kmsg.ConfigResourceTypeTopic, "missing"}, {kmsg.ConfigResourceTypeBroker, "1"}, {kmsg.ConfigResourceTypeBroker, "2"}} {
				rr := kmsg.NewDescribeConfigsRequestResource()
				rr.ResourceType, rr.ResourceName = res.kind, res.name
				req.Resources = append(req.Resources, rr)
			}
			resp := do[*kmsg.DescribeConfigsResponse](r, req)
			var codes []int16
			for _, sr := range resp.Resources {
				codes = append(codes, sr.ErrorCode)
			}
			if want := []int16{0, 3, 0, 42}; !cmp.Equal(want, codes) {
				t.Fatalf("v%d: errors %v, want %v", v, codes, want)
			}
			got := map[string]string{}
			for _, c := range resp.Resources[0].Configs {
				got[c.Name] = text(c.Value) + " " + c.Source.String()
			}
			for name, want := range map[string]string{
				"retention.ms":   "1000 DYNAMIC_TOPIC_CONFIG",
				"riffle.flush":   "os DYNAMIC_TOPIC_CONFIG",
				"cleanup.policy": "delete DEFAULT_CONFIG",
			} {
				if got[name] != want {
					t.Errorf("v%d: %s is %s, want %s", v, name, got[name], want)
				}
			}
			if len(resp.Resources[2].Configs) == 0 {
				t.Errorf("v%d: the broker has no configs", v)
			}
		}
		some := at(1, kmsg.NewPtrDescribeConfigsRequest())
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeTopic, "orders", []string{"retention.ms", "nonsense"}
		some.Resources = append(some.Resources, rr)
		if got := do[*kmsg.DescribeConfigsResponse](r, some).Resources[0].Configs; len(got) != 1 || got[0].Name != "retention.ms" {
			t.Errorf("asked for retention.ms and an unknown one: %+v", got)
		}
	})
}

// A crash in the middle of a deletion leaves the topic whole or gone, and nothing
// of a deleted topic stays on disk.
func TestCrashDuringDeletion(t *testing.T) {
	t.Parallel()
	const seed = 23
	rng := rand.New(rand.NewPCG(seed, seed))
	for _, percent := range []int{0, 25, 50, 75, 100} {
		fsys := vfs.NewMem()
		b := brokertest.Start(t, brokertest.FS(fsys))
		r := dial(t, b, "memory")
		r.create("kept", 1)
		r.produce("kept", batch(1, "a"))
		r.create("orders", 3)
		r.produce("orders", batch(1, "a"))
		del := at(1, kmsg.NewPtrDeleteTopicsRequest())
		del.TopicNames = []string{"orders"}
		if code := do[*kmsg.DeleteTopicsResponse](r, del).Topics[0].ErrorCode; code != 0 {
			t.Fatalf("delete: error %d", code)
		}
		crashed := fsys.CrashClone(percent, rng)
		after := dial(t, brokertest.Start(t, brokertest.FS(crashed)), "memory")
		if code := after.fetch("orders", 0).ErrorCode; code != 3 {
			t.Errorf("%d%%: a deleted topic is back: error %d, want 3", percent, code)
		}
		if p := after.fetch("kept", 0); p.ErrorCode != 0 || p.HighWatermark != 1 {
			t.Errorf("%d%%: the other topic: error %d, high watermark %d", percent, p.ErrorCode, p.HighWatermark)
		}
		if dirs := topicDirs(t, crashed); len(dirs) != 2 { // kept, __consumer_offsets
			t.Errorf("%d%%: directories %v, want two", percent, dirs)
		}
	}
}

// A deletion that had only marked the directory is completed by the next start.
func TestMarkedTopicsAreDeletedAtStart(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	b := brokertest.Start(t, brokertest.FS(fsys))
	before := topicDirs(t, fsys)
	r := dial(t, b, "memory")
	r.create("orders", 1)
	r.produce("orders", batch(1, "a"))
	brokertest.Stop(t, b)
	for _, dir := range topicDirs(t, fsys) {
		if !slices.Contains(before, dir) {
			if err := fsys.Rename("topics/"+dir, "topics/"+dir+".deleted"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := fsys.MkdirAll("topics/somebody's"); err != nil {
		t.Fatal(err)
	}
	r = dial(t, brokertest.Start(t, brokertest.FS(fsys)), "memory")
	if code := r.fetch("orders", 0).ErrorCode; code != 3 {
		t.Errorf("error %d, want 3", code)
	}
	if got, want := topicDirs(t, fsys), append(before, "somebody's"); !cmp.Equal(want, got) {
		t.Errorf("directories %v, want %v: what is not marked stays", got, want)
	}
	r.create("orders", 1)
}

func topicDirs(t *testing.T, fsys vfs.FS) []string {
	t.Helper()
	names, err := fsys.List("topics")
	if err != nil {
		t.Fatal(err)
	}
	return names
}
