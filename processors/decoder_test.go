package processors

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A decoder reads what encoding/binary reads, and refuses what that refuses.
func TestDecoder(t *testing.T) {
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
		d := decoder{buf: b}
		for rest := b; len(rest) > 0 && !d.bad; {
			want, n := binary.Uvarint(rest)
			got := uint64(0)
			if signed {
				var w int64
				w, n = binary.Varint(rest)
				want, got = uint64(w), uint64(d.varint())
			} else {
				got = d.uvarint()
			}
			if d.bad != (n <= 0) || !d.bad && got != want {
				t.Fatalf("of % x: got %d, bad %t, want %d of %d bytes", rest, got, d.bad, want, n)
			}
			if !d.bad {
				rest = rest[n:]
			}
		}
		if end := d.end("numbers"); (end != nil) != d.bad {
			t.Fatalf("the end is %v", end)
		}
	})
}
