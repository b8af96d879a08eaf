package peers

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"

	oldrand "math/rand"
)

const (
	keySize   = 16
	valueSize = 100
	idSize    = 16 // the value begins with the record's id, then two bytes of an amount
)

// input makes the records of a workload. Which they are depends on their number alone, and on where a call of fill begins.
type input struct {
	keys       int
	zipf       bool  // few keys have most of the records (exponent 1.1); else all have equally many
	stepMillis int64 // of event time from one record to the next
	duplicates int   // one record in so many repeats the id of an earlier one; 0 is none. The key then follows from the id.
}

// event is one record of an input.
type event struct {
	key, value []byte
	millis     int64
}

func timeOf(e event) time.Time { return time.UnixMilli(e.millis) }

// firstMillis is the event time of record 0.
const firstMillis = 1_700_000_000_000

// fill calls f with the records from number at on.
func (in input) fill(at, n int, f func(event)) {
	random := rand.New(rand.NewPCG(1, uint64(at)))
	zipf := oldrand.NewZipf(oldrand.New(oldrand.NewSource(int64(at))), 1.1, 1, uint64(in.keys-1))
	for i := at; i < at+n; i++ {
		id, key := i, random.IntN(in.keys)
		switch {
		case in.zipf:
			key = int(zipf.Uint64())
		case in.duplicates > 0:
			if random.IntN(in.duplicates) == 0 {
				id -= random.IntN(min(i, 100_000) + 1)
			}
			key = int(scatter(id) % uint64(in.keys))
		}
		f(in.event(i, key, id))
	}
}

// each is fill with keys in turn, and without duplicates: after so many records a state has seen all keys, or as many ids.
func (in input) each(at, n int, f func(event)) {
	for i := at; i < at+n; i++ {
		key := i % in.keys
		if in.duplicates > 0 {
			key = int(scatter(i) % uint64(in.keys))
		}
		f(in.event(i, key, i))
	}
}

func (in input) event(i, key, id int) event {
	value := fmt.Appendf(make([]byte, 0, valueSize), "%016x", scatter(id))
	value = binary.BigEndian.AppendUint16(value, uint16(i))
	return event{
		key:    fmt.Appendf(make([]byte, 0, keySize), "key-%012d", key),
		value:  value[:valueSize],
		millis: firstMillis + int64(i)*in.stepMillis,
	}
}

// scatter spreads numbers, so that the order of ids is not that of their making.
func scatter(n int) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return h.Sum64()
}

func idOf(value []byte) []byte { return value[:idSize] }

func amountOf(value []byte) int64 { return int64(binary.BigEndian.Uint16(value[idSize:])) }
