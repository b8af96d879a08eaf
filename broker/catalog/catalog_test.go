package catalog

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/internal/vfs"
)

func open(t testing.TB, fsys vfs.FS) *Catalog {
	t.Helper()
	c, err := Open(fsys)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func create(t testing.TB, c *Catalog, name string) Topic {
	t.Helper()
	topic, err := c.Create(name, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestTopicsSurviveReopening(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	c := open(t, mem)
	if len(c.ClusterID()) != 22 {
		t.Errorf("cluster id %q, want a UUID in base64url", c.ClusterID())
	}
	orders, err := c.Create("orders", 12, map[string]string{"retention.ms": " -1 ", "cleanup.policy": "compact, delete"})
	if err != nil {
		t.Fatal(err)
	}
	create(t, c, "payments")
	offsets := create(t, c, "__consumer_offsets")
	if _, err := c.Delete("payments"); err != nil {
		t.Fatal(err)
	}
	want := Topic{
		Name: "orders", ID: orders.ID, Partitions: 12,
		Configs: map[string]string{"retention.ms": "-1", "cleanup.policy": "compact, delete"},
	}
	if diff := cmp.Diff(want, orders); diff != "" {
		t.Errorf("Create (-want +got):\n%s", diff)
	}

	again := open(t, mem.CrashClone(0, nil))
	if again.ClusterID() != c.ClusterID() {
		t.Errorf("cluster id %q, was %q", again.ClusterID(), c.ClusterID())
	}
	offsets.Internal = true
	if diff := cmp.Diff([]Topic{offsets, want}, again.Topics()); diff != "" {
		t.Errorf("topics (-want +got):\n%s", diff)
	}
	for _, c := range []*Catalog{c, again} {
		for _, id := range [][16]byte{orders.ID, offsets.ID} {
			byID, ok := c.LookupID(id)
			byName, _ := c.Lookup(byID.Name)
			if !ok || byID.ID != id || byName.ID != id {
				t.Errorf("LookupID(%x) = %+v, %v", id, byID, ok)
			}
		}
		if topic, ok := c.Lookup("payments"); ok {
			t.Errorf("a deleted topic is there: %+v", topic)
		}
	}
}

func TestRecreatedTopicHasAnotherID(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem())
	first := create(t, c, "orders")
	deleted, err := c.Delete("orders")
	if err != nil || deleted.ID != first.ID {
		t.Fatalf("Delete = %+v, %v", deleted, err)
	}
	second := create(t, c, "orders")
	if first.ID == second.ID || first.Dir() == second.Dir() {
		t.Error("the new topic would be taken for the old one")
	}
	if _, ok := c.LookupID(first.ID); ok {
		t.Error("the old id is still known")
	}
}

func TestTopicDir(t *testing.T) {
	t.Parallel()
	topic := Topic{Name: "../../etc", ID: [16]byte{0xab, 15: 1}}
	if got, want := topic.Dir(), "topics/ab000000000000000000000000000001"; got != want {
		t.Errorf("Dir() = %q, want %q", got, want)
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem())
	create(t, c, "orders")
	for _, test := range []struct {
		name       string
		partitions int32
		configs    map[string]string
		want       []error
		text       string
	}{
		{"orders", 1, nil, []error{ErrTopicExists}, `"orders"`},
		{"", 1, nil, []error{ErrInvalidName}, "empty"},
		{".", 1, nil, []error{ErrInvalidName}, `"."`},
		{"..", 1, nil, []error{ErrInvalidName}, `".."`},
		{"a/b", 1, nil, []error{ErrInvalidName}, `'/'`},
		{"straße", 1, nil, []error{ErrInvalidName}, `'ß'`},
		{"a\xff", 1, nil, []error{ErrInvalidName}, `'�'`},
		{strings.Repeat("x", 250), 1, nil, []error{ErrInvalidName}, "250 bytes"},
		{"new", 0, nil, []error{ErrInvalidPartitions}, "with 0"},
		{"new", -1, nil, []error{ErrInvalidPartitions}, "with -1"},
		{"new", MaxPartitions + 1, nil, []error{ErrInvalidPartitions}, "1 to 10000"},
		{"new", 1, map[string]string{"retention.msec": "1"}, []error{ErrInvalidConfig}, "did you mean retention.bytes, retention.ms?"},
		{"new", 1, map[string]string{"x": "1"}, []error{ErrInvalidConfig}, "no such topic config"},
		// All mistakes at once.
		{"a b", 0, map[string]string{"segment.ms": "0", "riffle.flush": "never"}, []error{ErrInvalidName, ErrInvalidPartitions, ErrInvalidConfig}, "segment.ms"},
	} {
		_, err := c.Create(test.name, test.partitions, test.configs)
		if invalid := c.Validate(test.name, test.partitions, test.configs); fmt.Sprint(invalid) != fmt.Sprint(err) {
			t.Errorf("Validate: %v\nCreate:   %v", invalid, err)
		}
		for _, want := range test.want {
			if !errors.Is(err, want) {
				t.Errorf("Create(%q, %d, %v): %v, want %v", test.name, test.partitions, test.configs, err, want)
			}
		}
		if err != nil && !strings.Contains(err.Error(), test.text) {
			t.Errorf("Create(%q, %d, %v): %q, want it to say %q", test.name, test.partitions, test.configs, err, test.text)
		}
	}
	if n := len(c.Topics()); n != 1 {
		t.Errorf("%d topics, want the first one", n)
	}
	for _, name := range []string{"a", "A.b_c-9", "...", strings.Repeat("x", 249)} {
		if err := c.Validate(name, MaxPartitions, nil); err != nil {
			t.Errorf("Validate(%q): %v", name, err)
		}
	}
	if _, err := c.Delete("nothing"); !errors.Is(err, ErrUnknownTopic) || !strings.Contains(err.Error(), "nothing") {
		t.Errorf("Delete: %v, want ErrUnknownTopic", err)
	}
}

func TestTotalPartitions(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem())
	for i := range MaxTotalPartitions / MaxPartitions {
		if _, err := c.Create(fmt.Sprint("t", i), MaxPartitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Validate("more", 1, nil); !errors.Is(err, ErrInvalidPartitions) {
		t.Errorf("one partition more: %v, want ErrInvalidPartitions", err)
	}
	if _, err := c.Delete("t0"); err != nil {
		t.Fatal(err)
	}
	if err := c.Validate("more", MaxPartitions, nil); err != nil {
		t.Errorf("after a deletion: %v", err)
	}
}

func TestReserveProducerIDs(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	c := open(t, mem)
	for want := int64(0); want < 3000; want += 1000 {
		if got, err := c.ReserveProducerIDs(1000); got != want || err != nil {
			t.Errorf("ReserveProducerIDs = %d, %v, want %d", got, err, want)
		}
		create(t, c, fmt.Sprint("t", want)) // keeps them
		mem = mem.CrashClone(0, nil)
		c = open(t, mem)
	}
	c.current.Load().nextProducerID = math.MaxInt64 - 10
	for _, count := range []int{-1, 0, 11} {
		if got, err := c.ReserveProducerIDs(count); err == nil {
			t.Errorf("ReserveProducerIDs(%d) = %d, want an error", count, got)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c := open(t, vfs.NewMem())
	create(t, c, "always")
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for w := range 4 {
		writers.Go(func() {
			name := fmt.Sprint("t", w)
			for range 50 {
				if _, err := c.Create(name, 1, nil); err != nil {
					t.Error(err)
				}
				if _, err := c.Delete(name); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			for {
				if _, ok := c.Lookup("always"); !ok {
					t.Error("a topic was missing")
				}
				for _, topic := range c.Topics() {
					if _, ok := c.LookupID(topic.ID); !ok && topic.Name == "always" {
						t.Error("an id was missing")
					}
				}
				select {
				case <-done:
					return
				default:
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if n := len(c.Topics()); n != 1 {
		t.Errorf("%d topics at the end, want 1", n)
	}
}

func BenchmarkLookup(b *testing.B) {
	c := open(b, vfs.NewMem())
	create(b, c, "orders")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := c.Lookup("orders"); !ok {
			b.Fatal("missing")
		}
	}
}

func BenchmarkCreate(b *testing.B) {
	for _, topics := range []int{10, 1000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			c := open(b, vfs.NewMem())
			for i := range topics {
				create(b, c, fmt.Sprint("t", i))
			}
			b.ReportAllocs()
			for b.Loop() {
				create(b, c, "one-more")
				if _, err := c.Delete("one-more"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
