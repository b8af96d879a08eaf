package processors

import (
	"fmt"
	"math"
	"slices"
)

// slidingLog is what a SlidingStore keeps of one key: its observations in order of their times, those of one time in order of arrival.
//
// The head, part 0 of the key, holds the youngest observations and a summary of each older block. A block is sealed when it has
// more than blockSize observations, or half as many as there are blocks: so head and blocks both grow with the square
// root of the observations. A block that is no longer reached is left to the store's time to live.
type slidingLog[K any] struct {
	SlidingWindows[K]
	key    K
	head   *block
	loaded []loadedBlock // the blocks that this record looked at
}

type loadedBlock struct {
	part  int64
	block *block
}

const (
	headPart  = 0
	blockSize = 32
)

func openLog[K any](w SlidingWindows[K], key K) (l slidingLog[K], err error) {
	l.SlidingWindows, l.key = w, key
	l.head, err = getBlock(w, key, headPart)
	return l, err
}

func getBlock[K any](w SlidingWindows[K], key K, part int64) (*block, error) {
	b, found, err := w.blocks.Get(pair[K, int64]{key, part})
	switch {
	case err != nil:
		return nil, err
	case found:
		return b, nil
	case part == headPart:
		return newBlock(), nil
	}
	return nil, fmt.Errorf("processors: the store of sliding windows has no block %d that its head names", part)
}

// close gives the blocks back. The log must not be used after it.
func (l *slidingLog[K]) close() {
	freeBlock(l.head)
	for _, b := range l.loaded {
		freeBlock(b.block)
	}
}

// load returns an older block.
func (l *slidingLog[K]) load(part int64) (*block, error) {
	for _, b := range l.loaded {
		if b.part == part {
			return b.block, nil
		}
	}
	b, err := getBlock(l.SlidingWindows, l.key, part)
	if err != nil {
		return nil, err
	}
	if l.loaded == nil {
		l.loaded = make([]loadedBlock, 0, 4) // as many as most records look at
	}
	l.loaded = append(l.loaded, loadedBlock{part, b})
	return b, nil
}

func (l *slidingLog[K]) put(part int64, b *block) error {
	return l.blocks.Put(pair[K, int64]{l.key, part}, b)
}

// add puts an observation in its place.
func (l *slidingLog[K]) add(e entry) error {
	if !l.cfg.Distinct {
		e.item = ""
	}
	reached := l.oldest - l.cfg.reach().Milliseconds()
	if e.at <= reached {
		return nil
	}
	l.forget(reached)
	if n := len(l.head.blocks); n > 0 && e.at < l.head.blocks[n-1].last {
		if err := l.addToBlock(e); err != nil {
			return err
		}
	} else {
		l.head.insert(e)
		if len(l.head.entries) > max(blockSize, n/2) {
			if err := l.seal(); err != nil {
				return err
			}
		}
	}
	l.limit()
	return l.put(headPart, l.head)
}

// addToBlock puts an observation that comes late into the first block that ends behind it.
func (l *slidingLog[K]) addToBlock(e entry) error {
	h := l.head
	i := 0
	for h.blocks[i].last <= e.at {
		i++
	}
	b, err := l.load(h.blocks[i].part)
	if err != nil {
		return err
	}
	b.insert(e)
	if len(b.entries) > 2*max(blockSize, len(h.blocks)/2) {
		half := newBlock()
		at := len(b.entries) / 2
		half.entries = append(half.entries, b.entries[at:]...)
		b.entries = b.entries[:at]
		h.blocks = slices.Insert(h.blocks, i+1, l.summarize(half, l.nextPart()))
		l.loaded = append(l.loaded, loadedBlock{h.blocks[i+1].part, half})
		if err := l.put(h.blocks[i+1].part, half); err != nil {
			return err
		}
	}
	h.blocks[i] = l.summarize(b, h.blocks[i].part)
	return l.put(h.blocks[i].part, b)
}

// seal makes the observations of the head a block of their own.
func (l *slidingLog[K]) seal() error {
	sealed := newBlock()
	sealed.entries, l.head.entries = l.head.entries, sealed.entries
	s := l.summarize(sealed, l.nextPart())
	l.head.blocks = append(l.head.blocks, s)
	l.loaded = append(l.loaded, loadedBlock{s.part, sealed})
	return l.put(s.part, sealed)
}

func (l *slidingLog[K]) nextPart() int64 {
	l.head.lastPart++
	return l.head.lastPart
}

// summarize describes a block. A sum that does not fit is saturated: window looks at the observations of such a block.
func (l *slidingLog[K]) summarize(b *block, part int64) summary {
	s := summary{part: part, first: b.entries[0].at, last: b.entries[len(b.entries)-1].at}
	for _, e := range b.entries {
		s.overflow = s.add(1, e.amount, e.amount, e.amount) != nil || s.overflow
	}
	return s
}

// forget drops what is as old as reached or older, block by block.
func (l *slidingLog[K]) forget(reached int64) {
	h := l.head
	n := 0
	for n < len(h.blocks) && h.blocks[n].last <= reached {
		n++
	}
	h.blocks = slices.Delete(h.blocks, 0, n)
	if len(h.blocks) > 0 {
		return
	}
	n = 0
	for n < len(h.entries) && h.entries[n].at <= reached {
		n++
	}
	h.entries = slices.Delete(h.entries, 0, n)
}

// limit drops the oldest observations of a key that has too many.
func (l *slidingLog[K]) limit() {
	h := l.head
	total := int64(len(h.entries))
	for _, b := range h.blocks {
		total += b.count
	}
	most := int64(l.cfg.MaxObservations)
	n := 0
	for total > most && n < len(h.blocks) {
		total -= h.blocks[n].count
		h.complete = h.blocks[n].last + 1
		n++
	}
	h.blocks = slices.Delete(h.blocks, 0, n)
	if drop := total - most; drop > 0 {
		h.complete = h.entries[drop-1].at + 1
		h.entries = slices.Delete(h.entries, 0, int(drop))
	}
}

// backward yields the times in (since, until], the youngest first.
func (l *slidingLog[K]) backward(since, until int64, yield func(int64, error) bool) {
	if !l.head.backward(since, until, yield) {
		return
	}
	for _, s := range slices.Backward(l.head.blocks) {
		if s.first > until {
			continue
		}
		if s.last <= since {
			return
		}
		b, err := l.load(s.part)
		if err != nil {
			yield(0, err)
			return
		}
		if !b.backward(since, until, yield) {
			return
		}
	}
}

// window aggregates what lies in (since, until].
func (l *slidingLog[K]) window(since, until int64) (a Aggregate, err error) {
	var t totals
	var items map[string]struct{}
	if l.cfg.Distinct {
		items = make(map[string]struct{})
	}
	a.Truncated = l.head.complete > max(0, since+1)
	for i := range l.head.blocks {
		s := &l.head.blocks[i]
		switch {
		case s.last <= since:
			continue
		case s.first > until:
		case s.first > since && s.last <= until && !s.overflow && items == nil:
			err = t.add(s.count, s.sum, s.min, s.max)
		default:
			var b *block
			if b, err = l.load(s.part); err == nil {
				err = b.total(since, until, &t, items)
			}
		}
		if err != nil {
			return a, err
		}
	}
	if err := l.head.total(since, until, &t, items); err != nil {
		return a, err
	}
	a.Count, a.Sum, a.Min, a.Max, a.Distinct = t.count, t.sum, t.min, t.max, len(items)
	return a, nil
}

// totals adds up observations.
type totals struct{ count, sum, min, max int64 }

func (t *totals) add(count, sum, least, most int64) error {
	if t.count == 0 {
		*t = totals{count, sum, least, most}
		return nil
	}
	t.count += count
	t.min, t.max = min(t.min, least), max(t.max, most)
	if sum > 0 && t.sum > math.MaxInt64-sum || sum < 0 && t.sum < math.MinInt64-sum {
		return ErrOverflow
	}
	t.sum += sum
	return nil
}
