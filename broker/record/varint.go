package record

import "math/bits"

// Varints are Kafka's: base 128, least significant group first, zigzag. Lengths
// and offset deltas have 32 bits (at most five bytes), timestamp deltas 64 (at
// most ten).

const (
	maxVarint32Len = 5
	maxVarint64Len = 10
)

// zigzag maps signed integers to unsigned ones of small size: 0, -1, 1, -2 to
// 0, 1, 2, 3.
func zigzag(v int64) uint64 { return uint64(v<<1) ^ uint64(v>>63) }

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// varint32 reads a 32-bit varint at position i of b. The next position is -1 if
// there is none: b ends, or the number has more than 32 bits. One and two bytes,
// which is what the fields of most records take, go without a loop.
func varint32(b []byte, i int) (v int32, next int) {
	if uint(i) < uint(len(b)) {
		c := uint32(b[i])
		if c < 0x80 {
			return int32(c>>1) ^ -int32(c&1), i + 1
		}
		if uint(i+1) < uint(len(b)) && b[i+1] < 0x80 {
			c = c&0x7f | uint32(b[i+1])<<7
			return int32(c>>1) ^ -int32(c&1), i + 2
		}
	}
	u, next := uvarint(b, i, maxVarint32Len)
	if u > 1<<32-1 {
		return 0, -1
	}
	return int32(unzigzag(u)), next
}

// varint64 is varint32 for 64 bits.
func varint64(b []byte, i int) (v int64, next int) {
	if uint(i) < uint(len(b)) && b[i] < 0x80 {
		return unzigzag(uint64(b[i])), i + 1
	}
	u, next := uvarint(b, i, maxVarint64Len)
	return unzigzag(u), next
}

// uvarint reads at most limit bytes at position i of b.
func uvarint(b []byte, i, limit int) (u uint64, next int) {
	for n := range limit {
		if uint(i) >= uint(len(b)) {
			return 0, -1
		}
		c := b[i]
		i++
		if n == maxVarint64Len-1 && c > 1 {
			return 0, -1 // the tenth byte holds one bit
		}
		u |= uint64(c&0x7f) << (7 * n)
		if c < 0x80 {
			return u, i
		}
	}
	return 0, -1
}

// varintLen is the number of bytes that appendVarint adds for v.
func varintLen(v int64) int { return (bits.Len64(zigzag(v)|1) + 6) / 7 }

func appendVarint(dst []byte, v int64) []byte {
	u := zigzag(v)
	for u >= 0x80 {
		dst = append(dst, byte(u)|0x80)
		u >>= 7
	}
	return append(dst, byte(u))
}
