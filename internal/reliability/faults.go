package reliability

import (
	"math/rand/v2"
	"slices"
)

// Fault is one thing that a disk does to a file that nobody is writing.
type Fault struct {
	Name string
	// Do returns what is left of the bytes of the file, which it may change.
	Do func(rng *rand.Rand, b []byte) []byte
}

// AnyFault draws one of the kinds of faults.
func AnyFault(rng *rand.Rand) Fault { return faults[rng.IntN(len(faults))] }

var faults = []Fault{
	{"flipped bit", func(rng *rand.Rand, b []byte) []byte {
		if len(b) > 0 {
			bit := rng.IntN(8 * len(b))
			b[bit/8] ^= 1 << (bit % 8)
		}
		return b
	}},
	{"zeroed sector", zeroed(512)},
	{"zeroed page", zeroed(4096)},
	{"swapped halves", func(_ *rand.Rand, b []byte) []byte {
		half := len(b) / 2
		return append(slices.Clone(b[half:]), b[:half]...)
	}},
	{"cut short", func(rng *rand.Rand, b []byte) []byte { return b[:rng.IntN(len(b)+1)] }},
	{"emptied", func(*rand.Rand, []byte) []byte { return nil }},
	{GarbageBehind, func(rng *rand.Rand, b []byte) []byte {
		for range 1 + rng.IntN(600) {
			b = append(b, byte(rng.Uint32()))
		}
		return b
	}},
}

// GarbageBehind is the name of the fault that leaves all bytes of a file as they were.
const GarbageBehind = "garbage behind"

// zeroed clears one block of a size, where blocks begin.
func zeroed(block int) func(rng *rand.Rand, b []byte) []byte {
	return func(rng *rand.Rand, b []byte) []byte {
		if len(b) > 0 {
			from := rng.IntN(len(b)) / block * block
			clear(b[from:min(len(b), from+block)])
		}
		return b
	}
}
