package badgerstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/riffle-stream/riffle/state"
)

// window is the key of a window that begins at a time.
func window(key string, start int64) []byte {
	b := append([]byte{1, byte(len(key))}, key...)
	return binary.BigEndian.AppendUint64(b, uint64(start)^1<<63)
}

func putWindow(t *testing.T, store state.Store, key string, start int64) {
	t.Helper()
	k := window(key, start)
	if err := store.Put(k, []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(state.AppendTimerIndex(nil, start, []byte(key)), nil); err != nil {
		t.Fatal(err)
	}
}

func wantWindows(t *testing.T, store state.Store, key string, from, to, want int64) {
	t.Helper()
	n := int64(0)
	for kv, err := range store.Range(window(key, from), window(key, to)) {
		if err != nil || string(kv.Key) != string(window(key, from+n)) {
			t.Fatalf("entry %d of [%d, %d) is %x, %v", n, from, to, kv.Key, err)
		}
		n++
	}
	if n != want {
		t.Errorf("[%d, %d) has %d entries, want %d", from, to, n, want)
	}
}

// TestRangesOverCheckpoints reads ranges, one in another, while checkpoints end: the iterators that they have in common with
// others stay what they are, and the next range sees what was written.
func TestRangesOverCheckpoints(t *testing.T) {
	t.Parallel()
	db := openTest(t, t.TempDir(), Config{})
	task := openTask(t, db, state.Spec{Name: "s", Kind: state.KindWindow})
	store, _ := task.Store("s")
	checkpoint := func() {
		t.Helper()
		commit(t, task, 1)
		if err := db.checkpoint(db.mu.tasks[id]); err != nil {
			t.Fatal(err)
		}
	}
	for n := range int64(300) {
		putWindow(t, store, "k", n)
	}
	checkpoint()
	putWindow(t, store, "other", 0)
	checkpoint() // the 300 are in no overlay any more
	seen := 0
	for _, err := range store.Range(window("k", 0), window("k", 300)) {
		if err != nil {
			t.Fatal(err)
		}
		if seen++; seen%100 != 0 {
			continue
		}
		wantWindows(t, store, "k", 100, 300, 200)
		if err := db.checkpoint(db.mu.tasks[id]); err != nil { // with what the loop's last round committed
			t.Fatal(err)
		}
		if _, found, err := store.Get(window("k", 7)); !found || err != nil {
			t.Fatalf("Get: %t, %v", found, err)
		}
		wantWindows(t, store, "k", 0, 300, 300)
		commit(t, task, int64(seen))
	}
	if seen != 300 {
		t.Errorf("the range has %d entries, want 300", seen)
	}
}

// TestTimesInTheBase reopens a store: what was checkpointed is found, and deleted, and the next checkpoint leaves out what came and
// went.
func TestTimesInTheBase(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	spec := state.Spec{Name: "s", Kind: state.KindWindow}
	db := openTest(t, dir, Config{})
	task := openTask(t, db, spec)
	store, _ := task.Store("s")
	for n := range int64(100) {
		putWindow(t, store, "k", n)
	}
	commit(t, task, 1)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = openTest(t, dir, Config{})
	task = openTask(t, db, spec)
	store, _ = task.Store("s")
	base := db.mu.tasks[id]
	for to, want := range map[string]string{"": string(window("k", 99)), "\x01": string(state.AppendTimerIndex(nil, 99, []byte("k")))} {
		var bound []byte
		if to != "" {
			bound = []byte(to)
		}
		if last, err := base.Last(0, bound); string(last) != want || err != nil {
			t.Errorf("the last key before %q is %q, %v, want %q", to, last, err, want)
		}
	}
	wantWindows(t, store, "k", 0, 1000, 100)
	for n := range int64(50) {
		putWindow(t, store, "k", 100+n)
	}
	commit(t, task, 2)
	for n := range int64(140) {
		if err := store.Delete(window("k", n)); err != nil {
			t.Fatal(err)
		}
	}
	commit(t, task, 3)
	deletes := 0
	if _, err := base.layers.Checkpoint(func(f *state.Frozen) error {
		for c := range f.Changes(0) {
			if c.Value == nil {
				deletes++
			}
		}
		return base.write(f)
	}); err != nil {
		t.Fatal(err)
	}
	if deletes != 100 {
		t.Errorf("the checkpoint has %d deletes, want those of the 100 entries that the database had", deletes)
	}
	wantWindows(t, store, "k", 140, 1000, 10)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openTest(t, dir, Config{})
	store, _ = openTask(t, db, spec).Store("s")
	wantWindows(t, store, "k", 140, 1000, 10)
	for n := range int64(140) {
		if _, found, err := store.Get(window("k", n)); found || err != nil {
			t.Fatalf("window %d: %t, %v", n, found, err)
		}
	}
}

// BenchmarkJoin does what a join of streams does for a record: it looks for those of its key on the other side, keeps the record with a
// place in the index, and removes the one whose time is over. A key has a record in 100,000, one of the other side in the window.
func BenchmarkJoin(b *testing.B) {
	const keys, within = 100_000, 20_000
	db, err := Open(b.TempDir(), Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	task, err := db.OpenTask(id, []state.Spec{{Name: "s", Kind: state.KindJoin}})
	if err != nil {
		b.Fatal(err)
	}
	store, _ := task.Store("s")
	var from, to, entry, index []byte
	key := func(dst []byte, side byte, n int64, at int64) []byte {
		dst = append(dst[:0], 1, side, 12)
		dst = fmt.Appendf(dst, "key-%08d", n*7919%keys)
		return binary.BigEndian.AppendUint64(dst, uint64(at)^1<<63)
	}
	value := make([]byte, 100)
	n := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		from, to = key(from, "lr"[n&1], n/2, n-within), key(to, "lr"[n&1], n/2, n+within)
		it := state.Scan(store, from, to)
		for {
			_, ok, err := it.Next()
			if err != nil {
				b.Fatal(err)
			}
			if !ok {
				break
			}
		}
		it.Close()
		entry = key(entry, "rl"[n&1], n/2, n)
		index = state.AppendTimerIndex(index[:0], n+within, entry)
		if err := errors.Join(store.Put(entry, value), store.Put(index, nil)); err != nil {
			b.Fatal(err)
		}
		if old := n - 2*within; old >= 0 {
			entry = key(entry, "rl"[old&1], old/2, old)
			index = state.AppendTimerIndex(index[:0], old+within, entry)
			if err := errors.Join(store.Delete(index), store.Delete(entry)); err != nil {
				b.Fatal(err)
			}
		}
		if n++; n%10_000 == 0 {
			if err := task.Commit(map[string]state.Position{"s": {Offset: n, Commit: n}}); err != nil {
				b.Fatal(err)
			}
		}
	}
}
