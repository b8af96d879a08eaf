package processors

import (
	"encoding/binary"
	"errors"
	"sync"

	"github.com/riffle-stream/riffle/internal/varint"
	"github.com/riffle-stream/riffle/serde"
)

// block is an entry of a SlidingStore: observations, and in a head also the summaries of older blocks.
//
// Its encoding is the version byte 1; then, as varints, the last part that was given to a block, the time before
// which observations were forgotten, the number of summaries and the number of observations; the summaries; and the observations. Times are
// distances from the time before.
type block struct {
	lastPart int64
	complete int64 // observations before this time were forgotten to keep a limit; 0: none were
	blocks   []summary
	entries  []entry
}

// entry is an observation with its time.
type entry struct {
	at     int64 // milliseconds
	amount int64
	item   string
}

// summary describes an older block. Its times are those of its first and last observation.
type summary struct {
	totals
	part        int64
	first, last int64
	overflow    bool // the sum does not fit
}

// insert puts an observation behind those of its time or earlier.
func (b *block) insert(e entry) {
	i := len(b.entries)
	b.entries = append(b.entries, e)
	for ; i > 0 && b.entries[i-1].at > e.at; i-- {
		b.entries[i] = b.entries[i-1]
	}
	b.entries[i] = e
}

// total adds the observations in (since, until] to t, and their items to items if that is not nil.
func (b *block) total(since, until int64, t *totals, items map[string]struct{}) error {
	for i := len(b.entries) - 1; i >= 0; i-- {
		e := &b.entries[i]
		if e.at <= since {
			break
		}
		if e.at > until {
			continue
		}
		if err := t.add(1, e.amount, e.amount, e.amount); err != nil {
			return err
		}
		if items != nil {
			items[e.item] = struct{}{}
		}
	}
	return nil
}

// backward yields the times of the observations in (since, until], the youngest first, and reports whether to go on with older blocks.
func (b *block) backward(since, until int64, yield func(int64, error) bool) bool {
	for i := len(b.entries) - 1; i >= 0; i-- {
		at := b.entries[i].at
		if at <= since {
			return false
		}
		if at <= until && !yield(at, nil) {
			return false
		}
	}
	return true
}

// blocks keeps decoded blocks from being allocated for each record.
var blocks = sync.Pool{New: func() any { return new(block) }}

func newBlock() *block {
	b := blocks.Get().(*block)
	*b = block{blocks: b.blocks[:0], entries: b.entries[:0]}
	return b
}

func freeBlock(b *block) {
	clear(b.entries) // the items
	blocks.Put(b)
}

const blockVersion = 1

var errBlock = errors.New("processors: observations that do not parse")

var blockSerde = serde.Serde[*block]{
	Name:   "observations",
	Encode: func(dst []byte, b *block) ([]byte, error) { return b.encode(dst), nil },
	Decode: decodeBlock,
}

func (b *block) encode(dst []byte) []byte {
	dst = append(dst, blockVersion)
	dst = binary.AppendVarint(dst, b.lastPart)
	dst = binary.AppendVarint(dst, b.complete)
	dst = binary.AppendUvarint(dst, uint64(len(b.blocks)))
	dst = binary.AppendUvarint(dst, uint64(len(b.entries)))
	at := int64(0)
	for i := range b.blocks {
		s := &b.blocks[i]
		overflow := int64(0)
		if s.overflow {
			overflow = 1
		}
		for _, v := range [...]int64{s.part, s.first - at, s.last - s.first, s.count<<1 | overflow, s.sum, s.min, s.max - s.min} {
			dst = binary.AppendVarint(dst, v)
		}
		at = s.last
	}
	for i := range b.entries {
		e := &b.entries[i]
		dst = binary.AppendVarint(dst, e.at-at)
		dst = binary.AppendVarint(dst, e.amount)
		dst = binary.AppendUvarint(dst, uint64(len(e.item)))
		dst = append(dst, e.item...)
		at = e.at
	}
	return dst
}

func decodeBlock(b []byte) (*block, error) {
	if len(b) == 0 || b[0] != blockVersion {
		return nil, errBlock
	}
	d := varint.NewReader(b[1:])
	out := newBlock()
	out.lastPart, out.complete = d.Int(), d.Int()
	summaries, entries := d.Uint(), d.Uint()
	if d.Bad() || summaries > uint64(len(b)) || entries > uint64(len(b)) {
		return nil, errBlock
	}
	at := int64(0)
	for range summaries {
		var s summary
		s.part = d.Int()
		s.first = at + d.Int()
		s.last = s.first + d.Int()
		count := d.Int()
		s.count, s.overflow = count>>1, count&1 != 0
		s.sum, s.min = d.Int(), d.Int()
		s.max = s.min + d.Int()
		at = s.last
		out.blocks = append(out.blocks, s)
	}
	for range entries {
		e := entry{at: at + d.Int(), amount: d.Int()}
		if size := d.Uint(); size > 0 {
			e.item = string(d.Bytes(size))
		}
		at = e.at
		out.entries = append(out.entries, e)
	}
	if !d.Done() {
		return nil, errBlock
	}
	return out, nil
}
