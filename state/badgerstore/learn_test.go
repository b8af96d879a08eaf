package badgerstore

import (
	"encoding/binary"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/state"
)

func learnKey(i int) []byte { return binary.BigEndian.AppendUint64([]byte("key"), uint64(i)) }

// waitLearned waits until so many stores are known.
func waitLearned(t *testing.T, db *DB, stores int64) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(time.Minute); db.Stats().Learned < stores; <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%d stores are known after a minute, want %d", db.Stats().Learned, stores)
		}
	}
}

// A database that had keys before finds them, and what is written while it learns which they are and after that, and nothing else; also where
// there is no room for a filter, or none is wanted.
func TestLearnsKeys(t *testing.T) {
	t.Parallel()
	const old, more = 2*learnStep + 100, 1000
	for _, tt := range []struct {
		name    string
		bytes   int64
		learned int64
	}{
		{"default", 0, 2},
		{"too little memory", 20_000, 2},
		{"none", -1, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			specs := []state.Spec{{Name: "plain"}, {Name: "ttl", TTL: time.Hour}, {Name: "empty"}}
			var task state.Task
			write := func(from, to int) {
				t.Helper()
				for _, spec := range specs[:2] {
					s, _ := task.Store(spec.Name)
					for i := from; i < to; i++ {
						key := learnKey(i)
						if spec.TTL > 0 {
							key = append([]byte{1}, key...) // the form of an entry
						}
						if err := s.Put(key, learnKey(i)); err != nil {
							t.Fatal(err)
						}
					}
				}
				if err := task.Commit(map[string]state.Position{"plain": {Commit: int64(to)}}); err != nil {
					t.Fatal(err)
				}
			}
			check := func(n int) {
				t.Helper()
				for _, spec := range specs {
					s, _ := task.Store(spec.Name)
					for i := range n + 1000 {
						key := learnKey(i)
						if spec.TTL > 0 {
							key = append([]byte{1}, key...)
						}
						_, found, err := s.Get(key)
						if want := i < n && spec.Name != "empty"; err != nil || found != want {
							t.Fatalf("key %d of store %s: found %t, %v, want %t", i, spec.Name, found, err, want)
						}
					}
				}
			}
			for range 2 { // the second time, all keys are in the database
				db := openTest(t, dir, Config{KeyFilterBytes: tt.bytes, CheckpointBytes: 1})
				task = openTask(t, db, specs...)
				if task.Position("plain").IsZero() {
					write(0, old)
				} else {
					check(old)
					write(old, old+more) // perhaps while it learns
					waitLearned(t, db, tt.learned)
					check(old + more)
					write(old+more, old+2*more)
					write(0, 1) // what is known already
					check(old + 2*more)
				}
				if err := db.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A key that the database does not have, in a store of a hundred thousand.
func BenchmarkGetMissing(b *testing.B) {
	for _, bench := range []struct {
		name  string
		bytes int64
	}{{"filter", 0}, {"database", -1}} {
		b.Run(bench.name, func(b *testing.B) {
			db, err := Open(b.TempDir(), Config{KeyFilterBytes: bench.bytes, CheckpointBytes: 1 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			task, err := db.OpenTask(id, []state.Spec{{Name: "s"}})
			if err != nil {
				b.Fatal(err)
			}
			s, _ := task.Store("s")
			for i := range 100_000 {
				if err := s.Put(learnKey(i), make([]byte, 100)); err != nil {
					b.Fatal(err)
				}
				if i%1000 == 0 {
					if err := task.Commit(nil); err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if _, found, err := s.Get(learnKey(1_000_000 + i)); found || err != nil {
					b.Fatal(found, err)
				}
			}
		})
	}
}
