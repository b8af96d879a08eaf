package state

import (
	"fmt"
	"testing"
)

// Every key that was added is there, few others are, and 14 bits of a key are not far exceeded.
func TestKeyFilter(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{0, 1, 2000, 3000, 200_000} {
		var f KeyFilter
		for i := range keys {
			f.Add(fmt.Append(nil, "key", i), 1<<30)
		}
		wrong := 0
		for i := range keys {
			if f.lacks(hashOf(fmt.Append(nil, "key", i))) {
				t.Fatalf("of %d keys, number %d is missing", keys, i)
			}
			if !f.lacks(hashOf(fmt.Append(nil, "other", i))) {
				wrong++
			}
		}
		if most := keys / 50; wrong > most {
			t.Errorf("of %d other keys %d are taken for known ones, want at most %d", keys, wrong, most)
		}
		if most := 4*int64(keys)*2 + 4096; f.size > most {
			t.Errorf("%d keys take %d bytes, want at most %d", keys, f.size, most)
		}
	}
}

// What would need more than it may says nothing any more.
func TestKeyFilterGivesUp(t *testing.T) {
	t.Parallel()
	var f KeyFilter
	for i := range 100_000 {
		f.Add(fmt.Append(nil, "key", i), 50_000)
		if f.size > 50_000 {
			t.Fatalf("the filter takes %d bytes, and may take 50,000", f.size)
		}
	}
	if f.lacks(hashOf([]byte("other"))) {
		t.Error("a filter that has given up knows of a key that it is not there")
	}
}
