package state

// KeyFilter is a set of keys of which it is known for sure only what is not in it: a Bloom filter, in which all bits of a key lie in
// one line of the processor's cache (Putze, Sanders and Singler: Cache-, Hash- and Space-Efficient Bloom Filters, 2007). About
// one in a hundred of other keys is taken for one of the set. The zero value is the empty set.
//
// It grows by parts, each four times as large as the one before, and gives up when it would need more than it may: then it
// has every key.
type KeyFilter struct {
	parts []filterPart
	size  int64 // bytes of the parts
	full  bool
}

type filterPart struct {
	lines []filterLine
	room  int // keys that may still be added
}

// filterLine is 64 bytes, of which a key sets filterBits bits.
type filterLine [8]uint64

const (
	filterLineBytes = 64
	filterBits      = 6
	// keysPerLine makes 14 bits of a key, and firstLines 4 KiB of the first part.
	keysPerLine = 36
	firstLines  = 64
)

// Add adds a key, unless it seems to be there. The filter may take so many bytes.
func (f *KeyFilter) Add(key []byte, most int64) { f.add(hashOf(key), most) }

func (f *KeyFilter) add(hash uint64, most int64) {
	if !f.lacks(hash) {
		return
	}
	last := len(f.parts) - 1
	if last < 0 || f.parts[last].room == 0 {
		if !f.grow(most) {
			return
		}
		last = len(f.parts) - 1
	}
	p := &f.parts[last]
	p.room--
	line := p.line(hash)
	for bits, n := filterHash(hash), 0; n < filterBits; bits, n = bits>>9, n+1 {
		line[bits>>6&7] |= 1 << (bits & 63)
	}
}

// grow adds a part, or gives up.
func (f *KeyFilter) grow(most int64) bool {
	lines := int64(firstLines)
	if n := len(f.parts); n > 0 {
		lines = 4 * int64(len(f.parts[n-1].lines))
	}
	lines = min(lines, (most-f.size)/filterLineBytes)
	if lines < firstLines {
		*f = KeyFilter{full: true}
		return false
	}
	f.parts = append(f.parts, filterPart{make([]filterLine, lines), int(lines) * keysPerLine})
	f.size += lines * filterLineBytes
	return true
}

// lacks reports whether a key is not in the set for sure.
func (f *KeyFilter) lacks(hash uint64) bool {
	if f.full {
		return false
	}
	bits := filterHash(hash)
	for i := len(f.parts) - 1; i >= 0; i-- { // most are in the last
		if f.parts[i].has(hash, bits) {
			return false
		}
	}
	return true
}

func (p *filterPart) has(hash, bits uint64) bool {
	line := p.line(hash)
	for n := 0; n < filterBits; bits, n = bits>>9, n+1 {
		if line[bits>>6&7]&(1<<(bits&63)) == 0 {
			return false
		}
	}
	return true
}

// line is where the bits of a key are, by the upper half of its hash.
func (p *filterPart) line(hash uint64) *filterLine {
	return &p.lines[(hash>>32)*uint64(len(p.lines))>>32]
}

// filterHash spreads the lower half of a hash over all bits, of which a key takes nine at a time.
func filterHash(hash uint64) uint64 {
	h := (hash & (1<<32 - 1)) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}
