package peers

import (
	"encoding/binary"
	"maps"
	"slices"
)

// step processes one record of the input with the number given, in a loop that keeps what it knows in Go maps. What it gives to
// emit must not be changed later.
type step func(topic int, e event, emit func(key, value []byte))

// storedStep names the entry in the store that a record changes, nil for none, and makes the new one of the old, which is nil
// at first. The new one is also the output; a nil one is none.
type storedStep func(e event) (key []byte, update func(old []byte) []byte)

func int64Bytes(n int64) []byte { return binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(n)) }

// pass-through

func plainPass() step {
	return func(_ int, e event, emit func(key, value []byte)) { emit(e.key, e.value) }
}

func storedPass(e event) (key []byte, update func([]byte) []byte) {
	return nil, func([]byte) []byte { return e.value }
}

// count by key

func plainCount() step {
	counts := make(map[string]*int64) // by pointer: an update of map[string]int64 would allocate the key each time
	return func(_ int, e event, emit func(key, value []byte)) {
		emit(e.key, int64Bytes(increment(counts, e.key)))
	}
}

func increment(counts map[string]*int64, key []byte) int64 {
	n := counts[string(key)]
	if n == nil {
		n = new(int64)
		counts[string(key)] = n
	}
	*n++
	return *n
}

func storedCount(e event) (key []byte, update func([]byte) []byte) {
	return e.key, func(old []byte) []byte {
		if old == nil {
			return int64Bytes(1)
		}
		return int64Bytes(int64(binary.BigEndian.Uint64(old)) + 1)
	}
}

// count by key and tumbling window

// windowKey is the key and the start of the window of a record.
func windowKey(e event) []byte {
	key := append(make([]byte, 0, len(e.key)+8), e.key...)
	return binary.BigEndian.AppendUint64(key, uint64(windowStart(e.millis)))
}

func windowStart(millis int64) int64 { return millis - millis%tumblingSize.Milliseconds() }

// windowsKept is how many windows the plain loop keeps: partitions are not equally far.
const windowsKept = 10

func plainTumbling() step {
	windows := make(map[int64]map[string]*int64)
	return func(_ int, e event, emit func(key, value []byte)) {
		start := windowStart(e.millis)
		counts := windows[start]
		if counts == nil {
			counts = make(map[string]*int64)
			windows[start] = counts
			if len(windows) > windowsKept {
				delete(windows, slices.Min(slices.Collect(maps.Keys(windows))))
			}
		}
		emit(windowKey(e), int64Bytes(increment(counts, e.key)))
	}
}

func storedTumbling(e event) (key []byte, update func([]byte) []byte) {
	_, update = storedCount(e)
	return windowKey(e), update
}

// six sliding windows, four features each

var featureBytes = len(slidingWidths) * 4 * 8

func appendFeatures(dst []byte, features ...int64) []byte {
	for _, f := range features {
		dst = binary.BigEndian.AppendUint64(dst, uint64(f))
	}
	return dst
}

type observed struct{ millis, amount int64 }

func plainSliding() step {
	seen := make(map[string]*[]observed)
	widest := slidingWidths[len(slidingWidths)-1]
	return func(_ int, e event, emit func(key, value []byte)) {
		all := seen[string(e.key)]
		if all == nil {
			all = new([]observed)
			seen[string(e.key)] = all
		}
		for len(*all) > 0 && (*all)[0].millis <= e.millis-widest.Milliseconds() {
			*all = (*all)[1:]
		}
		*all = append(*all, observed{e.millis, amountOf(e.value)})
		features := make([]byte, 0, featureBytes)
		for _, width := range slidingWidths {
			features = appendWindow(features, *all, e.millis-width.Milliseconds())
		}
		emit(e.key, features)
	}
}

// appendWindow appends the features of what was observed after a time.
func appendWindow(dst []byte, all []observed, after int64) []byte {
	var count, sum, low, high int64
	for i := len(all) - 1; i >= 0 && all[i].millis > after; i-- {
		amount := all[i].amount
		if count == 0 {
			low, high = amount, amount
		}
		count, sum, low, high = count+1, sum+amount, min(low, amount), max(high, amount)
	}
	return appendFeatures(dst, count, sum, low, high)
}

// count by key, with the record as the output: what latency is taken of has to carry its time through

func plainTally() step {
	counts := make(map[string]*int64)
	return func(_ int, e event, emit func(key, value []byte)) {
		increment(counts, e.key)
		emit(e.key, e.value)
	}
}

// join of two streams

// buffered is a record that waits for others to join it.
type buffered struct {
	millis int64
	value  []byte
}

func plainJoin() step {
	var sides [2]map[string][]buffered
	var queues [2][]event // in order of arrival: what is to be forgotten next
	var latest [2]int64
	for i := range sides {
		sides[i] = make(map[string][]buffered)
	}
	within := joinWithin.Milliseconds()
	return func(side int, e event, emit func(key, value []byte)) {
		latest[side] = max(latest[side], e.millis)
		for _, other := range sides[1-side][string(e.key)] {
			if other.millis >= e.millis-within && other.millis <= e.millis+within {
				emit(e.key, e.value)
			}
		}
		sides[side][string(e.key)] = append(sides[side][string(e.key)], buffered{e.millis, e.value})
		queues[side] = append(queues[side], e)
		// What lies behind the window of the slower side joins nothing more.
		for s := range queues {
			for len(queues[s]) > 0 && queues[s][0].millis < min(latest[0], latest[1])-within {
				forget(sides[s], queues[s][0])
				queues[s] = queues[s][1:]
			}
		}
	}
}

// forget drops the oldest record of a key.
func forget(side map[string][]buffered, e event) {
	rest := side[string(e.key)][1:]
	if len(rest) == 0 {
		delete(side, string(e.key))
		return
	}
	side[string(e.key)] = rest
}

// each id once a day

func plainDedup() step {
	type remembered struct {
		id     string
		millis int64
	}
	seen := make(map[string]int64)
	var queue []remembered // in order of arrival
	return func(_ int, e event, emit func(key, value []byte)) {
		for len(queue) > 0 && queue[0].millis <= e.millis-dedupTTL.Milliseconds() {
			delete(seen, queue[0].id)
			queue = queue[1:]
		}
		if at, ok := seen[string(idOf(e.value))]; ok && e.millis-at < dedupTTL.Milliseconds() {
			return
		}
		id := string(idOf(e.value))
		seen[id] = e.millis
		queue = append(queue, remembered{id, e.millis})
		emit(e.key, e.value)
	}
}
