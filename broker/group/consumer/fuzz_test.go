package consumer

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/riffle-stream/riffle/broker/group"
)

// FuzzDecode: whatever stands in __consumer_offsets, loading it does not panic, and what
// was loaded is written and read again as the same.
func FuzzDecode(f *testing.F) {
	topics, regex := &fakeTopics{}, "a.*"
	topics.set("a", 3)
	g := New("g", Config{})
	for _, id := range []string{"m1", "m2"} {
		r := Request{MemberID: id, ClientHost: "/h", Topics: []string{"a"}, Regex: &regex, Owned: map[Partition]struct{}{}}
		if _, err := g.Heartbeat(began, topics, r); err != nil {
			f.Fatal(err)
		}
	}
	if _, err := g.Heartbeat(began, topics, Request{MemberID: "m1", Epoch: 1, RebalanceTimeout: -1}); err != nil {
		f.Fatal(err)
	}
	for _, r := range append(g.Changes(), g.Tombstones()...) {
		f.Add(r.Key, r.Value)
	}
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if !Known(key) {
			return
		}
		e, err := Decode(key, value)
		if err != nil {
			return
		}
		g := New(e.Group, Config{})
		g.Restore(e)
		for id, m := range g.members { // the record that tells what a member is may be another
			if m.clientHost = "/h"; m.epoch == 0 {
				m.epoch = 1
			}
			g.changes.all(id)
		}
		g.changes.group, g.changes.target = true, true
		g.Resume(began)
		again := New(e.Group, Config{})
		for _, r := range append([]group.Record(nil), g.Changes()...) {
			e, err := Decode(r.Key, r.Value)
			if err != nil {
				t.Fatalf("Decode of a record that was written: %v", err)
			}
			again.Restore(e)
		}
		again.Resume(began.Add(time.Second))
		if diff := cmp.Diff(g.Describe(), again.Describe(), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("written and read again (-want +got):\n%s", diff)
		}
	})
}
