package varint_test

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/internal/varint"
)

// A reader reads what encoding/binary reads, and refuses what that refuses.
func TestReader(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var b []byte
		for range rapid.IntRange(0, 5).Draw(t, "numbers") {
			switch rapid.IntRange(0, 3).Draw(t, "kind") {
			case 0:
				b = binary.AppendUvarint(b, rapid.Uint64().Draw(t, "uvarint"))
			case 1:
				b = binary.AppendVarint(b, rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64})).Draw(t, "varint"))
			case 2:
				b = append(b, rapid.SliceOfN(rapid.SampledFrom([]byte{0x80, 0xff, 1, 2, 0}), 0, 12).Draw(t, "bytes")...)
			}
		}
		signed := rapid.Bool().Draw(t, "signed")
		r := varint.NewReader(b)
		for rest := b; len(rest) > 0 && !r.Bad(); {
			want, n := binary.Uvarint(rest)
			got := uint64(0)
			if signed {
				var w int64
				w, n = binary.Varint(rest)
				want, got = uint64(w), uint64(r.Int())
			} else {
				got = r.Uint()
			}
			if r.Bad() != (n <= 0) || !r.Bad() && got != want {
				t.Fatalf("of % x: got %d, bad %t, want %d of %d bytes", rest, got, r.Bad(), want, n)
			}
			if !r.Bad() {
				rest = rest[n:]
			}
		}
		if r.Done() == r.Bad() || r.More() || len(r.Rest()) > 0 {
			t.Fatalf("after all: done %t, bad %t, % x left", r.Done(), r.Bad(), r.Rest())
		}
	})
}
