package state

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestTable compares a table with a map through growth, overwriting, deletes, resets
// and compaction; the index is read at random moments, so that it catches up in steps.
func TestTable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 1))
		keys := rapid.SampledFrom([]int{3, 100, 2000}).Draw(r, "keys")
		shape := rapid.SampledFrom([]shape{plain, indexed, grouped, sided}).Draw(r, "shape")
		table, model := &table{shape: shape}, map[string][]byte{} // nil for a delete
		for range rapid.IntRange(1, 10).Draw(r, "rounds") {
			for range rng.IntN(keys) {
				key := string(shapedKey(rng, keys, shape))
				var value []byte
				if rng.IntN(4) > 0 {
					value = bytes.Repeat([]byte{byte(rng.IntN(256))}, rng.IntN(200))
				}
				table.set(hashOf([]byte(key)), []byte(key), value)
				model[key] = value
			}
			if rng.IntN(3) > 0 {
				for range 5 {
					from, to := shapedRange(rng, keys, shape)
					checkRange(r, table, model, from, to)
				}
			}
			checkTable(r, table, model)
			switch rng.IntN(6) {
			case 0:
				table.reset()
				clear(model)
			case 1:
				if c := table.compacted(); c != table {
					table = c
					maps.DeleteFunc(model, func(_ string, value []byte) bool { return value == nil })
				}
			}
		}
	})
}

func checkTable(r *rapid.T, table *table, model map[string][]byte) {
	if table.len() != len(model) {
		r.Fatalf("%d entries, want %d", table.len(), len(model))
	}
	for key, want := range model {
		got, found := table.get(hashOf([]byte(key)), []byte(key))
		if !bytes.Equal(got, want) || (found == present) != (want != nil) || (found == removed) != (want == nil) {
			r.Fatalf("get(%q) = %x, %d, want %x", key, got, found, want)
		}
	}
	if _, found := table.get(hashOf([]byte("none")), []byte("none")); found != absent {
		r.Fatalf("a key that was never set is found")
	}
	for class := range classes {
		table.index(class)
	}
	sorted := slices.Sorted(maps.Keys(model))
	at := table.seek(nil)
	for _, key := range sorted {
		if at < 0 {
			r.Fatalf("the index ends before %q", key)
		}
		if got := table.key(at); string(got) != key {
			r.Fatalf("the index has %q, want %q", got, key)
		}
		if got := table.seek([]byte(key)); got != at {
			r.Fatalf("seek(%q) = %d, want %d", key, got, at)
		}
		at = table.after(at)
	}
	if at >= 0 {
		r.Fatalf("the index goes on after the last key")
	}
}

func checkRange(r *rapid.T, table *table, model map[string][]byte, from, to []byte) {
	var want, got []string
	for _, key := range slices.Sorted(maps.Keys(model)) {
		if key >= string(from) && (to == nil || key < string(to)) {
			want = append(want, key)
		}
	}
	span := table.shape.span(from, to)
	var c cursor
	for c.open(table, &span); c.ref >= 0 && (to == nil || bytes.Compare(c.key(), to) < 0); c.next() {
		got = append(got, string(c.key()))
	}
	if !slices.Equal(got, want) {
		r.Fatalf("[%q, %q) has %q, want %q", from, to, got, want)
	}
}

// shapedKey draws a key of a store of the shape, now and then one that is not as it should be.
func shapedKey(rng *rand.Rand, keys int, s shape) []byte {
	if s == plain || rng.IntN(20) == 0 {
		odd := [][]byte{{}, {0}, {0, 1}, {1}, {1, 'l'}, {1, 9, 'a'}, {1, 1, 'a', 1}, {1, 'l', 1, 'a', 2}, {2}, {0xff, 0xff}}
		if s != plain && rng.IntN(2) == 0 {
			return odd[rng.IntN(len(odd))]
		}
		return fmt.Append(nil, rng.IntN(keys))
	}
	at := int64(rng.IntN(keys))
	key := fmt.Append(nil, rng.IntN(keys)%7)
	if rng.IntN(2) == 0 {
		return appendIndexKey(nil, at/3, key)
	}
	return shapedEntry(rng, s, key, at)
}

func shapedEntry(rng *rand.Rand, s shape, key []byte, at int64) []byte {
	b := appendSpanKey(nil, key, at, at/2, rng.IntN(2) == 0)
	if s == sided {
		b = slices.Insert(b, 1, "lr"[rng.IntN(2)])
	}
	return b
}

// shapedRange draws a range: of one group, of the index, or any.
func shapedRange(rng *rand.Rand, keys int, s shape) (from, to []byte) {
	at := int64(rng.IntN(keys))
	switch rng.IntN(4) {
	case 0:
		return appendIndexKey(nil, at/3, nil), appendIndexKey(nil, int64(rng.IntN(keys)), nil)
	case 1:
		return TimerIndex()
	case 2:
		from = shapedEntry(rng, s, fmt.Append(nil, rng.IntN(keys)%7), at)
		to = slices.Clone(from)
		if n := s.group(from); n > 0 {
			to = appendTime(to[:n], at+int64(rng.IntN(keys)))
		}
		return from, to
	}
	if from, to = shapedKey(rng, keys, s), shapedKey(rng, keys, s); rng.IntN(5) == 0 {
		to = nil
	}
	return from, to
}

// TestTableOverwritesInPlace keeps a hot key from filling the slab.
func TestTableOverwritesInPlace(t *testing.T) {
	t.Parallel()
	table := &table{}
	key := []byte("hot")
	for i := range 100000 {
		table.set(hashOf(key), key, fmt.Appendf(nil, "%08d", i))
	}
	if got := table.size(); got > 1000 {
		t.Errorf("one key takes %d bytes", got)
	}
}

// TestTableKeepsLittle demands that a table which was large once does not stay so.
func TestTableKeepsLittle(t *testing.T) {
	t.Parallel()
	table := &table{}
	for i := range 100000 {
		key := fmt.Appendf(nil, "%08d", i)
		table.set(hashOf(key), key, key)
	}
	table.reset()
	table.set(hashOf([]byte("k")), []byte("k"), []byte("v"))
	table.reset()
	if got := len(table.slots); got > 8*minSlots {
		t.Errorf("after two resets there are %d slots", got)
	}
}

// TestFold folds so many keys that some have as much of the hash in common with others as a slot holds. Half of them are there before.
func TestFold(t *testing.T) {
	t.Parallel()
	const keys = 150_000
	all, from := &table{}, &table{}
	set := func(to *table, n int, value []byte) {
		key := fmt.Appendf(nil, "%08d", n)
		to.set(hashOf(key), key, value)
	}
	want := make([]string, 3*keys)
	for n := range 2 * keys {
		set(all, n, []byte("before"))
		want[n] = "before"
	}
	for n := keys; n < 3*keys; n++ {
		var value []byte // one in three is a delete
		want[n] = ""
		if n%3 > 0 {
			want[n] = fmt.Sprint("after", n)
			value = []byte(want[n])
		}
		set(from, n, value)
	}
	all.fold(from, func(uint64, []byte) bool { return false })
	if all.len() != len(want) {
		t.Errorf("%d entries, want %d", all.len(), len(want))
	}
	for n, value := range want {
		key := fmt.Appendf(nil, "%08d", n)
		if got, found := all.get(hashOf(key), key); string(got) != value || (found == present) != (value != "") {
			t.Fatalf("get(%s) = %q, %d, want %q", key, got, found, value)
		}
	}
}

func BenchmarkTable(b *testing.B) {
	for _, keys := range []int{100_000, 5_000_000} {
		b.Run(fmt.Sprintf("op=count/keys=%d", keys), func(b *testing.B) {
			table := &table{}
			rng := rand.New(rand.NewPCG(1, 2))
			var key [16]byte
			var value [8]byte
			for b.Loop() {
				n := rng.IntN(keys)
				key[0], key[1], key[2], key[3] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
				hash := hashOf(key[:])
				old, _ := table.get(hash, key[:])
				copy(value[:], old)
				value[0]++
				table.set(hash, key[:], value[:])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkFold folds the keys of one commit, drawn from so many, into a table that has them all.
func BenchmarkFold(b *testing.B) {
	const commit = 50_000
	for _, keys := range []int{100_000, 5_000_000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			rng := rand.New(rand.NewPCG(1, 2))
			all, open := &table{}, &table{}
			set := func(t *table, n int) {
				key := fmt.Appendf(nil, "key-%012d", n)
				t.set(hashOf(key), key, key[:8])
			}
			for n := range keys {
				set(all, n)
			}
			for b.Loop() {
				b.StopTimer()
				open.reset()
				for range commit {
					set(open, rng.IntN(keys))
				}
				b.StartTimer()
				all.fold(open, func(uint64, []byte) bool { return false })
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/commit, "ns/key")
		})
	}
}
