package broker_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
)

// The advertised table is part of what clients build on: a change shows in
// testdata/api_versions.
func TestAdvertisedVersions(t *testing.T) {
	datadriven.RunTest(t, "testdata/api_versions", func(t *testing.T, d *datadriven.TestData) string {
		r := dial(t, brokertest.Start(t), "memory")
		resp := do[*kmsg.ApiVersionsResponse](r, at(0, kmsg.NewPtrApiVersionsRequest()))
		out := ""
		for _, k := range resp.ApiKeys {
			out += fmt.Sprintf("%2d %s %d-%d\n", k.ApiKey, kmsg.NameForKey(k.ApiKey), k.MinVersion, k.MaxVersion)
		}
		return out
	})
}

// Assertion 2: each version is answered, with a header of version 0.
func TestApiVersions(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		want := do[*kmsg.ApiVersionsResponse](r, at(0, kmsg.NewPtrApiVersionsRequest())).ApiKeys
		for v := int16(1); v <= 4; v++ {
			req := at(v, kmsg.NewPtrApiVersionsRequest())
			req.ClientSoftwareName, req.ClientSoftwareVersion = "raw", "1.0"
			resp := do[*kmsg.ApiVersionsResponse](r, req)
			if diff := cmp.Diff(want, resp.ApiKeys, cmpopts.IgnoreUnexported(kmsg.Tags{})); resp.ErrorCode != 0 || diff != "" {
				t.Errorf("v%d: error %d, keys differ from v0's:\n%s", v, resp.ErrorCode, diff)
			}
		}
		bad := at(3, kmsg.NewPtrApiVersionsRequest())
		bad.ClientSoftwareName, bad.ClientSoftwareVersion = "no spaces", "1"
		if resp := do[*kmsg.ApiVersionsResponse](r, bad); resp.ErrorCode != kerr.InvalidRequest.Code {
			t.Errorf("software name with a space: error %d, want %d", resp.ErrorCode, kerr.InvalidRequest.Code)
		}
	})
}

// Assertion 1: a version that is not served is answered in version 0, whatever the body holds,
// and the connection lives on.
func TestApiVersionsUnknownVersion(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.sent++
		r.write(frame(18, 99, r.sent, []byte("not even a header")))
		r.received++
		got := r.frame()
		want := binary.BigEndian.AppendUint32(nil, uint32(r.sent))
		want = append(want, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4) // error, one key: 18, 0 to 4
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("answer to ApiVersions v99 (-want +got):\n%s", diff)
		}
		if resp := do[*kmsg.ApiVersionsResponse](r, at(0, kmsg.NewPtrApiVersionsRequest())); resp.ErrorCode != 0 {
			t.Errorf("after that: error %d", resp.ErrorCode)
		}
	})
}

// frame builds a request by hand: api key, version, correlation id, and the rest.
func frame(key, version int16, correlation int32, rest []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(8+len(rest)))
	b = binary.BigEndian.AppendUint16(b, uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(correlation))
	return append(b, rest...)
}

// Assertion 4: what is not served, or makes no sense, ends its connection and no other.
func TestUnservedRequestsCloseTheConnection(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		first := start()
		prefix := func(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }
		for name, bytes := range map[string][]byte{
			"unknown key":               frame(9999, 0, 1, []byte{0xff, 0xff}),
			"negative key":              frame(-1, 0, 1, []byte{0xff, 0xff}),
			"key of brokers only":       frame(6, 0, 1, []byte{0xff, 0xff}),
			"version above the range":   frame(3, 99, 1, []byte{0xff, 0xff}),
			"negative version":          frame(3, -1, 1, []byte{0xff, 0xff}),
			"version below the range":   frame(1, 3, 1, []byte{0xff, 0xff}),
			"negative length":           prefix(0xffffffff),
			"huge length":               prefix(0x7fffffff),
			"length above 100 MiB":      prefix(100<<20 + 1),
			"length without a header":   prefix(7),
			"HTTP":                      []byte("GET / HTTP/1.1\r\n\r\n"),
			"TLS":                       {0x16, 0x03, 0x01, 0x02, 0x00, 0x01},
			"metadata above 1 MiB":      append(prefix(1<<20+1), frame(3, 1, 1, nil)[4:]...),
			"client id beyond the end":  frame(3, 1, 1, []byte{0x7f, 0xff}),
			"array beyond the end":      frame(3, 1, 1, []byte{0xff, 0xff, 0x7f, 0xff, 0xff, 0xff}),
			"string beyond the end":     frame(3, 1, 1, []byte{0xff, 0xff, 0, 0, 0, 1, 0x7f, 0xff}),
			"header with many tags":     frame(3, 9, 1, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}),
			"body with many tags":       frame(60, 0, 1, []byte{0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}),
			"string of negative length": frame(60, 0, 1, []byte{0xff, 0xff, 0, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}),
		} {
			r := first.again()
			r.write(bytes)
			r.wantClosed(name)
		}
		// The others do not notice.
		do[*kmsg.MetadataResponse](first, at(1, kmsg.NewPtrMetadataRequest()))
	})
}

// Assertion 5: the answers of a connection are in the order of its requests.
func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		r.create("orders", 1)
		slow := fetchRequest("orders", 0)
		slow.MaxWaitMillis = 300
		meta := at(1, kmsg.NewPtrMetadataRequest())
		began := time.Now()
		r.send(slow, meta)
		if resp := recv[*kmsg.FetchResponse](r, slow); len(resp.Topics[0].Partitions[0].RecordBatches) != 0 {
			t.Errorf("fetched %d bytes from an empty topic", len(resp.Topics[0].Partitions[0].RecordBatches))
		}
		recv[*kmsg.MetadataResponse](r, meta)
		if took := time.Since(began); took < 300*time.Millisecond {
			t.Errorf("both answers after %v: the fetch did not wait", took)
		}

		const n = 20
		var reqs []kmsg.Request
		for i := range n {
			reqs = append(reqs, produceRequest("orders", -1, batch(1, fmt.Sprint(i))))
		}
		r.send(reqs...)
		for i, req := range reqs {
			resp := recv[*kmsg.ProduceResponse](r, req)
			if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.BaseOffset != int64(i) {
				t.Errorf("produce %d: offset %d, error %d", i, p.BaseOffset, p.ErrorCode)
			}
		}
	})
}

// Assertions 7 and 8: who asks for which topics gets which, on nodes that can be
// found.
func TestMetadata(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.NodeID = 7 }))
		id := r.create("orders", 3)
		r.create("payments", 1)
		ask := func(version int16, names ...string) *kmsg.MetadataResponse {
			req := at(version, kmsg.NewPtrMetadataRequest())
			req.Topics = []kmsg.MetadataRequestTopic{}
			for _, n := range names {
				rt := kmsg.NewMetadataRequestTopic()
				rt.Topic = &n
				req.Topics = append(req.Topics, rt)
			}
			return do[*kmsg.MetadataResponse](r, req)
		}
		visible := func(resp *kmsg.MetadataResponse) (names []string) {
			for _, st := range resp.Topics {
				if !st.IsInternal && *st.Topic != "__consumer_offsets" {
					names = append(names, *st.Topic)
				}
			}
			return names
		}
		all := []string{"orders", "payments"}
		if got := visible(ask(0)); !cmp.Equal(all, got) {
			t.Errorf("v0, no names: %v, want all: %v", got, all)
		}
		for v := int16(1); v <= 13; v++ {
			if got := visible(ask(v)); len(got) != 0 {
				t.Errorf("v%d, no names: %v, want none", v, got)
			}
			req := at(v, kmsg.NewPtrMetadataRequest())
			req.Topics = nil
			if got := visible(do[*kmsg.MetadataResponse](r, req)); !cmp.Equal(all, got) {
				t.Errorf("v%d, null: %v, want all: %v", v, got, all)
			}
			resp := ask(v, "orders", "missing", "a/b", "orders")
			var codes []int16
			for _, st := range resp.Topics {
				codes = append(codes, st.ErrorCode)
			}
			if want := []int16{0, 3, 17}; !cmp.Equal(want, codes) {
				t.Errorf("v%d: error codes %v of orders, missing, a/b, orders again, want %v", v, codes, want)
			}
			checkNodes(t, r, resp)
			if v >= 10 && resp.Topics[0].TopicID != id {
				t.Errorf("v%d: topic id %x, want %x", v, resp.Topics[0].TopicID, id)
			}
		}
		byID := at(12, kmsg.NewPtrMetadataRequest())
		for _, id := range [][16]byte{id, {1}} {
			rt := kmsg.NewMetadataRequestTopic()
			rt.TopicID = id
			byID.Topics = append(byID.Topics, rt)
		}
		resp := do[*kmsg.MetadataResponse](r, byID)
		if len(resp.Topics) != 2 || text(resp.Topics[0].Topic) != "orders" || resp.Topics[1].ErrorCode != kerr.UnknownTopicID.Code {
			t.Errorf("by id: %+v, want orders and UNKNOWN_TOPIC_ID", resp.Topics)
		}
	})
}

// checkNodes checks that each node that is named can be found in the list of
// brokers, and there under the address of the connection's listener.
func checkNodes(t *testing.T, r *raw, resp *kmsg.MetadataResponse) {
	t.Helper()
	nodes := map[int32]string{}
	for _, b := range resp.Brokers {
		nodes[b.NodeID] = fmt.Sprintf("%s:%d", b.Host, b.Port)
	}
	want := r.nc.RemoteAddr().String()
	for _, addr := range nodes {
		if addr != want {
			t.Errorf("v%d over %s: advertised %s, want %s", resp.Version, r.transport, addr, want)
		}
	}
	for _, st := range resp.Topics {
		for _, p := range st.Partitions {
			for _, id := range append(append([]int32{p.Leader}, p.Replicas...), p.ISR...) {
				if _, ok := nodes[id]; !ok {
					t.Errorf("v%d: partition %d names node %d, which is not among %v", resp.Version, p.Partition, id, nodes)
				}
			}
		}
	}
	if _, ok := nodes[resp.ControllerID]; !ok && resp.Version >= 1 {
		t.Errorf("v%d: controller %d is not among %v", resp.Version, resp.ControllerID, nodes)
	}
}

// Assertion 8, continued: coordinators are among the nodes, too, under the same
// address.
func TestCoordinatorsAreNodesOfMetadata(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.NodeID = 7 }))
		node := do[*kmsg.MetadataResponse](r, at(9, kmsg.NewPtrMetadataRequest())).Brokers[0]
		for v := int16(0); v <= 6; v++ {
			for kind, key := range map[int8]string{0: "a group", 1: "a transactional id"} {
				if kind == 1 && v == 0 {
					continue // v0 knows groups only
				}
				req := at(v, kmsg.NewPtrFindCoordinatorRequest())
				req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
				resp := do[*kmsg.FindCoordinatorResponse](r, req)
				id, host, port, code := resp.NodeID, resp.Host, resp.Port, resp.ErrorCode
				if v >= 4 {
					c := resp.Coordinators[0]
					id, host, port, code = c.NodeID, c.Host, c.Port, c.ErrorCode
				}
				if code != 0 || id != node.NodeID || host != node.Host || port != node.Port {
					t.Errorf("v%d, coordinator of %s: error %d, node %d at %s:%d, want node %d at %s:%d", v, key, code, id, host, port, node.NodeID, node.Host, node.Port)
				}
			}
		}
	})
}

func TestMetadataCreatesTopicsOnlyIfTold(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start(brokertest.With(func(c *broker.Config) { c.AutoCreateTopics, c.DefaultPartitions = true, 4 }))
		ask := func(version int16, allow bool, name string) kmsg.MetadataResponseTopic {
			req := at(version, kmsg.NewPtrMetadataRequest())
			req.AllowAutoTopicCreation = allow
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = &name
			req.Topics = append(req.Topics, rt)
			return do[*kmsg.MetadataResponse](r, req).Topics[0]
		}
		if st := ask(4, false, "orders"); st.ErrorCode != 3 {
			t.Errorf("creation not allowed by the client: error %d, want 3", st.ErrorCode)
		}
		if st := ask(4, true, "a/b"); st.ErrorCode != 17 {
			t.Errorf("invalid name: error %d, want 17", st.ErrorCode)
		}
		if st := ask(4, true, "orders"); st.ErrorCode != 0 || len(st.Partitions) != 4 {
			t.Errorf("creation: error %d, %d partitions, want 4", st.ErrorCode, len(st.Partitions))
		}
		if st := ask(1, false, "payments"); st.ErrorCode != 0 {
			t.Errorf("v1, which cannot forbid creation: error %d", st.ErrorCode)
		}
	})
}

func TestDescribeCluster(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		r := start()
		want := do[*kmsg.MetadataResponse](r, at(8, kmsg.NewPtrMetadataRequest())).ClusterID
		for v := int16(0); v <= 2; v++ {
			resp := do[*kmsg.DescribeClusterResponse](r, at(v, kmsg.NewPtrDescribeClusterRequest()))
			if resp.ErrorCode != 0 || len(resp.Brokers) != 1 || resp.ControllerID != resp.Brokers[0].NodeID || resp.ClusterID != *want || resp.ClusterID == "" {
				t.Errorf("v%d: %+v, want one broker that is the controller, of cluster %q", v, resp, *want)
			}
			if resp.ClusterAuthorizedOperations != -1<<31 {
				t.Errorf("v%d: authorized operations %d, want none", v, resp.ClusterAuthorizedOperations)
			}
		}
	})
}
