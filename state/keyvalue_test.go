package state_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// fakeContext is a processing context whose time the test sets.
type fakeContext struct {
	task           state.Task
	stream, record time.Time
}

func (c *fakeContext) StreamTime() time.Time { return c.stream }
func (c *fakeContext) RecordTime() time.Time { return c.record }

func (c *fakeContext) Store(name string) state.Store {
	if c.task == nil {
		return nil
	}
	s, ok := c.task.Store(name)
	if !ok {
		return nil
	}
	return s
}

// at moves the context to a record of event time ms.
func (c *fakeContext) at(ms int64) {
	c.record = time.UnixMilli(ms)
	if c.record.After(c.stream) {
		c.stream = c.record
	}
}

func newContext(t testing.TB, specs ...state.Spec) *fakeContext {
	t.Helper()
	task, err := state.NewMemory().OpenTask(state.TaskID{}, specs)
	if err != nil {
		t.Fatal(err)
	}
	return &fakeContext{task: task, stream: time.UnixMilli(0)}
}

func ExampleKeyValueStore() {
	counts := state.NewKeyValueStore("counts", serde.String, serde.Int64)

	task, _ := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{counts.Spec()})
	var c state.Context = &fakeContext{task: task}

	for _, word := range []string{"to", "be", "or", "not", "to", "be"} {
		store := counts.In(c) // once per record
		n, _, err := store.Get(word)
		if err == nil {
			err = store.Put(word, n+1)
		}
		if err != nil {
			fmt.Println(err)
		}
	}
	for e, err := range counts.In(c).All() {
		fmt.Println(e.Key, e.Value, err)
	}
	// Output:
	// be 2 <nil>
	// not 1 <nil>
	// or 1 <nil>
	// to 2 <nil>
}

func ExampleKeyValueStore_TTL() {
	seen := state.NewKeyValueStore("seen", serde.String, serde.Int64).TTL(10 * time.Second)

	task, _ := state.NewMemory().OpenTask(state.TaskID{}, []state.Spec{seen.Spec()})
	c := &fakeContext{task: task}
	c.at(1000)
	_ = seen.In(c).Put("id", 1)
	for _, ms := range []int64{10999, 11000} {
		c.at(ms)
		_, found, err := seen.In(c).Get("id")
		fmt.Println(ms, found, err)
	}
	// Output:
	// 10999 true <nil>
	// 11000 false <nil>
}

// TestTTLModel compares a store that expires with a map of values and put times. The
// sweep may take what has expired at any time: it must never show, except that in the
// end nothing is left.
func TestTTLModel(t *testing.T) {
	t.Parallel()
	type entry struct {
		value, put int64
	}
	rapid.Check(t, func(r *rapid.T) {
		ttl := rapid.SampledFrom([]int64{1, 10, 1000}).Draw(r, "ttl")
		def := state.NewKeyValueStore("s", serde.String, serde.Int64).TTL(time.Duration(ttl) * time.Millisecond)
		backend := state.NewMemory()
		task, err := backend.OpenTask(state.TaskID{}, []state.Spec{def.Spec()})
		if err != nil {
			r.Fatal(err)
		}
		c := &fakeContext{task: task, stream: time.UnixMilli(0)}
		model := map[string]entry{}
		committed := map[string]entry{}
		live := func() map[string]int64 {
			all := map[string]int64{}
			for key, e := range model {
				if c.stream.UnixMilli() < e.put+ttl {
					all[key] = e.value
				}
			}
			return all
		}
		key := func(r *rapid.T) string { return rapid.StringMatching(`[ab]{0,2}`).Draw(r, "key") }
		must := func(err error) {
			if err != nil {
				r.Fatal(err)
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"time": func(r *rapid.T) {
				c.at(c.stream.UnixMilli() + rapid.Int64Range(-2*ttl, ttl).Draw(r, "step"))
			},
			"put": func(r *rapid.T) {
				k, v := key(r), rapid.Int64().Draw(r, "value")
				must(def.In(c).Put(k, v))
				model[k] = entry{v, c.record.UnixMilli()}
			},
			"delete": func(r *rapid.T) {
				k := key(r)
				must(def.In(c).Delete(k))
				delete(model, k)
			},
			"get": func(r *rapid.T) {
				k := key(r)
				got, found, err := def.In(c).Get(k)
				must(err)
				if want, exists := live()[k]; got != want || found != exists {
					r.Fatalf("Get(%q) = %v, %v, want %v, %v", k, got, found, want, exists)
				}
			},
			"all": func(r *rapid.T) {
				got := map[string]int64{}
				for e, err := range def.In(c).All() {
					must(err)
					got[e.Key] = e.Value
				}
				if diff := cmp.Diff(live(), got); diff != "" {
					r.Fatalf("All (-want +got):\n%s", diff)
				}
			},
			"range": func(r *rapid.T) {
				from, to := key(r), key(r)
				var want, got []string
				for _, k := range slices.Sorted(maps.Keys(live())) {
					if from <= k && k < to {
						want = append(want, k)
					}
				}
				for e, err := range def.In(c).Range(from, to) {
					must(err)
					got = append(got, e.Key)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					r.Fatalf("Range(%q, %q) (-want +got):\n%s", from, to, diff)
				}
			},
			"commit": func(*rapid.T) { must(task.Commit(nil)); committed = maps.Clone(model) },
			"abort":  func(*rapid.T) { task.Abort(); model = maps.Clone(committed) },
		})

		// Long after, one put at a time sweeps all the rest away.
		for i := range int64(100) {
			c.at(c.stream.UnixMilli() + 3*ttl + 1)
			must(def.In(c).Put("last", i))
		}
		store, _ := task.Store("s")
		var left []string
		for kv, err := range store.Range(nil, nil) {
			must(err)
			left = append(left, fmt.Sprintf("%q", kv.Key))
		}
		if len(left) != 2 { // the last entry and its place in the index
			r.Fatalf("after the sweep there are %v", left)
		}
	})
}

// TestSweepIsBounded puts many keys that expire at once: no single put may remove them
// all, and none is left in the end.
func TestSweepIsBounded(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("s", serde.Int64, serde.Int64).TTL(time.Second)
	c := newContext(t, def.Spec())
	c.at(1)
	const keys = 1000
	for i := range int64(keys) {
		if err := def.In(c).Put(i, i); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.task.Commit(nil); err != nil {
		t.Fatal(err)
	}
	c.at(2000)
	most, removed := 0, 0
	for i := range int64(keys) {
		if err := def.In(c).Put(keys+i, i); err != nil {
			t.Fatal(err)
		}
		now := 0
		for change := range c.task.Changes("s") {
			if change.Value == nil {
				now++
			}
		}
		if err := c.task.Commit(nil); err != nil {
			t.Fatal(err)
		}
		most, removed = max(most, now), removed+now
	}
	const pages = (keys + 31) / 32 // of the index
	if removed != keys+pages || most > 2*64 {
		t.Errorf("%d changes were removals, at most %d of one put; want %d, at most %d", removed, most, keys+pages, 2*64)
	}
}

// What was written before there were pages in the index has a place there for each key, at its exact time.
func TestSweepOfSingleKeys(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("s", serde.String, serde.Int64).TTL(time.Hour)
	c := newContext(t, def.Spec())
	store, _ := c.task.Store("s")
	const put = 1_000_001
	for _, key := range []string{"a", "b", "hot"} {
		entry := binary.AppendVarint(binary.AppendVarint(nil, put), 0)
		index := append(binary.BigEndian.AppendUint64([]byte{0}, 1<<63+put), key...)
		if err := errors.Join(store.Put([]byte("\x01"+key), binary.AppendVarint(entry, 7)), store.Put(index, nil)); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (keys []string) {
		for kv, err := range store.Range(nil, nil) {
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, fmt.Sprintf("%q", kv.Key[:1]))
		}
		return keys
	}
	for i, ms := range []int64{put + 1, put + time.Hour.Milliseconds() + 1, put + 3*time.Hour.Milliseconds()} {
		c.at(ms)
		for range 64 { // enough for a sweep
			if err := def.In(c).Put("hot", ms); err != nil {
				t.Fatal(err)
			}
		}
		want := [][]string{
			{`"\x00"`, `"\x00"`, `"\x00"`, `"\x01"`, `"\x01"`, `"\x01"`},
			{`"\x00"`, `"\x01"`}, // it has been put again
			{`"\x00"`, `"\x01"`},
		}[i]
		if diff := cmp.Diff(want, left()); diff != "" {
			t.Errorf("at %d there are (-want +got):\n%s", ms, diff)
		}
	}
}

// A key that is deleted and put again does not take the place in the index of those that came after it.
func TestPagesOfKeysPutAgain(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("s", serde.String, serde.Int64).TTL(time.Hour)
	c := newContext(t, def.Spec())
	store, _ := c.task.Store("s")
	c.at(1)
	for i := range 40 {
		err := def.In(c).Put(fmt.Sprint(i), 1)
		if i == 39 { // the first page is full, and its hint forgotten
			err = errors.Join(err, c.task.Commit(nil), def.In(c).Delete("0"), c.task.Commit(nil))
			c.task.(*state.Layers).Abort()
			err = errors.Join(err, def.In(c).Put("0", 2))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range int64(200) { // sweeps
		c.at((i + 2) * time.Hour.Milliseconds() * 2)
		if err := def.In(c).Put("last", i); err != nil {
			t.Fatal(err)
		}
	}
	left := 0
	for _, err := range store.Range(nil, nil) {
		if err != nil {
			t.Fatal(err)
		}
		left++
	}
	if left != 2 {
		t.Errorf("%d entries are left, want that of the last key and its place in the index", left)
	}
}

// A page that does not parse is an error that says so, and nothing else is removed.
func TestDamagedPage(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("s", serde.String, serde.Int64).TTL(time.Hour)
	c := newContext(t, def.Spec())
	store, _ := c.task.Store("s")
	index := append(binary.BigEndian.AppendUint64([]byte{0}, 1<<63+5), "key"...)
	if err := store.Put(index, []byte{9, 'x'}); err != nil {
		t.Fatal(err)
	}
	c.at(3 * time.Hour.Milliseconds())
	if err := def.In(c).Put("other", 1); !errors.Is(err, state.ErrCorrupt) {
		t.Errorf("a Put that sweeps a page with a key of 9 bytes, of which there is 1: %v, want ErrCorrupt", err)
	}
}

func TestHotKeyStaysInPlace(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("s", serde.String, serde.Int64).TTL(time.Hour)
	c := newContext(t, def.Spec())
	changes := 0
	const puts = 1000
	for i := range int64(puts) {
		c.at(i * 1000)
		if err := def.In(c).Put("hot", i); err != nil {
			t.Fatal(err)
		}
		for range c.task.Changes("s") {
			changes++
		}
		if err := c.task.Commit(nil); err != nil {
			t.Fatal(err)
		}
	}
	if changes != puts+1 { // its values, and once its place in the index
		t.Errorf("%d puts of a hot key made %d changes, want %d", puts, changes, puts+1)
	}
}

// TestAllocations keeps the path of a record free of allocations.
func TestAllocations(t *testing.T) {
	def := state.NewKeyValueStore("plain", serde.Int64, serde.Int64)
	expiring := state.NewKeyValueStore("expiring", serde.Int64, serde.Int64).TTL(time.Hour)
	c := newContext(t, def.Spec(), expiring.Spec())
	for name, def := range map[string]state.KeyValueStore[int64, int64]{"plain": def, "expiring": expiring} {
		c.at(1000)
		n := int64(0)
		step := func() {
			n++
			store := def.In(c)
			old, _, err := store.Get(n % 64)
			if err == nil {
				err = store.Put(n%64, old+n)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		for range 1000 {
			step()
		}
		if got := testing.AllocsPerRun(1000, step); got != 0 {
			t.Errorf("%s: Get and Put allocate %v times, want 0", name, got)
		}
	}
}

func TestUnknownStore(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("counts", serde.String, serde.Int64)
	store := def.In(&fakeContext{})
	_, _, err1 := store.Get("k")
	errs := []error{err1, store.Put("k", 1), store.Delete("k")}
	for _, err := range store.All() {
		errs = append(errs, err)
	}
	for _, err := range store.Range("a", "b") {
		errs = append(errs, err)
	}
	if len(errs) != 5 {
		t.Fatalf("%d results, want 5", len(errs))
	}
	for i, err := range errs {
		var unknown *state.UnknownStoreError
		if !errors.As(err, &unknown) || !strings.Contains(err.Error(), `"counts"`) || !strings.Contains(err.Error(), "Process(") {
			t.Errorf("call %d: %v, want an UnknownStoreError with the store and the remedy", i, err)
		}
	}
}

func TestDeclarationMistakes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		spec state.Spec
		want string
	}{
		{"no name", state.NewKeyValueStore("", serde.String, serde.String).Spec(), "store name"},
		{"name", state.NewKeyValueStore("a/b", serde.String, serde.String).Spec(), `"a/b"`},
		{"key serde", state.NewKeyValueStore("s", serde.Avro[int](), serde.String).Spec(), "avro(int)"},
		{"value serde", state.NewKeyValueStore("s", serde.String, serde.Serde[string]{Name: "mine"}).Spec(), "mine"},
		{"ttl", state.NewKeyValueStore("s", serde.String, serde.String).TTL(-time.Second).Spec(), "-1s"},
		{"zero", state.KeyValueStore[int, int]{}.Spec(), "NewKeyValueStore"},
	} {
		if test.spec.Err == nil || !strings.Contains(test.spec.Err.Error(), test.want) {
			t.Errorf("%s: %v, want an error with %q", test.name, test.spec.Err, test.want)
		}
	}
	if err := state.NewKeyValueStore("ok-1.x_Y", serde.String, serde.String).TTL(time.Second).Spec().Err; err != nil {
		t.Error(err)
	}
}

func TestUndecodableValue(t *testing.T) {
	t.Parallel()
	def := state.NewKeyValueStore("s", serde.String, serde.Int64)
	c := newContext(t, def.Spec())
	store, _ := c.task.Store("s")
	if err := store.Put([]byte("k"), []byte("short")); err != nil {
		t.Fatal(err)
	}
	_, _, err := def.In(c).Get("k")
	var at *state.StoreError
	if !errors.As(err, &at) || at.Store != "s" || !strings.Contains(err.Error(), "int64") {
		t.Errorf("Get of a value that does not decode: %v", err)
	}
}

func TestParseTaskID(t *testing.T) {
	t.Parallel()
	for _, id := range []state.TaskID{{}, {SubTopology: 1, Partition: 12}} {
		if got, err := state.ParseTaskID(id.String()); got != id || err != nil {
			t.Errorf("ParseTaskID(%q) = %v, %v", id, got, err)
		}
	}
	for _, s := range []string{"", "1", "_", "1_", "_1", "1_2_3", "-1_2", "01_2", "1_+2", "a_b", "1_99999999999"} {
		if got, err := state.ParseTaskID(s); err == nil {
			t.Errorf("ParseTaskID(%q) = %v, want an error", s, got)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	f.Add(state.AppendPosition(nil, state.Position{
		TopicID: [16]byte{1}, Offset: 5, Commit: 2, StreamTimeMillis: -3, Stores: []string{"a", "b"},
		Inputs: []state.InputOffset{{Topic: "in", Partition: 1, Offset: 9}},
	}))
	f.Add(state.AppendPosition(nil, state.Position{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := state.ParsePosition(b)
		if err != nil {
			if !errors.Is(err, state.ErrCorrupt) {
				t.Fatalf("error %v does not match ErrCorrupt", err)
			}
			return
		}
		again, err := state.ParsePosition(state.AppendPosition(nil, p))
		if err != nil || !cmp.Equal(p, again) {
			t.Fatalf("%+v does not survive: %+v, %v", p, again, err)
		}
	})
}
