package rules

import (
	"encoding/binary"
	"errors"
	"slices"
)

// ErrHistory means bytes that are no history.
var ErrHistory = errors.New("rules: history does not parse")

// Past is a payment as a History remembers it.
type Past struct {
	Millis int64 // event time, since 1970
	Offset int64 // of the payment's record in its partition
	Cents  int64
}

// History holds the recent payments of one card, ordered by time; payments of one moment are in order of arrival.
// Adding a payment behind all others and dropping the oldest touch only the ends. The zero History is empty.
//
// Its encoding is the version byte 1, then, as varints: count, sum of the amounts, time and offset of the first payment,
// and how far those of the last one lie behind; then the amount of the first payment, and of each further one the distance of its time and
// of its offset from the payment before, and its amount.
type History struct {
	count       int
	cents       int64 // sum of the amounts
	first, last place
	payments    []byte // from the amount of the first payment on
}

// place is where a payment stands; payments are encoded by the distance between two of them.
type place struct{ millis, offset int64 }

const historyVersion = 1

// spare is room for one more payment: three varints.
const spare = 3 * binary.MaxVarintLen64

// Len returns the number of payments.
func (h *History) Len() int { return h.count }

// add puts a payment behind all others of its time or earlier.
func (h *History) add(p Past) {
	if h.count > 0 && p.Millis < h.last.millis {
		h.insert(p)
		return
	}
	at := place{p.Millis, p.Offset}
	if h.count == 0 {
		h.first = at
		h.payments = h.payments[:0]
	} else {
		h.payments = binary.AppendUvarint(h.payments, uint64(at.millis-h.last.millis))
		h.payments = binary.AppendVarint(h.payments, at.offset-h.last.offset)
	}
	h.payments = binary.AppendUvarint(h.payments, uint64(p.Cents))
	h.last = at
	h.count++
	h.cents += p.Cents
}

// insert adds a payment that comes late. It writes the history anew.
func (h *History) insert(p Past) {
	all := make([]Past, 0, h.count+1)
	for past := range h.all {
		all = append(all, past)
	}
	at := len(all)
	for at > 0 && all[at-1].Millis > p.Millis {
		at--
	}
	all = slices.Insert(all, at, p)
	*h = History{payments: make([]byte, 0, len(h.payments)+spare)}
	for _, past := range all {
		h.add(past)
	}
}

// dropFirst forgets the oldest payment. The history must not be empty.
func (h *History) dropFirst() {
	cents, rest := cutUvarint(h.payments)
	h.count--
	h.cents -= int64(cents)
	if h.count == 0 {
		*h = History{payments: h.payments[:0]}
		return
	}
	millis, rest := cutUvarint(rest)
	offset, rest := cutVarint(rest)
	h.first = place{h.first.millis + int64(millis), h.first.offset + offset}
	h.payments = rest
}

// all yields the payments from the oldest on.
func (h *History) all(yield func(Past) bool) {
	at, rest := h.first, h.payments
	for i := range h.count {
		if i > 0 {
			var millis uint64
			var offset int64
			millis, rest = cutUvarint(rest)
			offset, rest = cutVarint(rest)
			at = place{at.millis + int64(millis), at.offset + offset}
		}
		var cents uint64
		cents, rest = cutUvarint(rest)
		if !yield(Past{at.millis, at.offset, int64(cents)}) {
			return
		}
	}
}

// AppendBinary appends the encoding of the history. It implements encoding.BinaryAppender.
func (h *History) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, historyVersion)
	b = binary.AppendUvarint(b, uint64(h.count))
	b = binary.AppendVarint(b, h.cents)
	b = binary.AppendVarint(b, h.first.millis)
	b = binary.AppendVarint(b, h.first.offset)
	b = binary.AppendUvarint(b, uint64(h.last.millis-h.first.millis))
	b = binary.AppendVarint(b, h.last.offset-h.first.offset)
	return append(b, h.payments...), nil
}

// UnmarshalBinary reads what AppendBinary wrote, and copies it. It checks the sizes, not each payment: stores and
// changelogs have checksums, and a look at all payments would cost more than all the rest. Bytes that pass although nobody
// wrote them give a history of other payments, never a panic.
func (h *History) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != historyVersion {
		return ErrHistory
	}
	rest := b[1:]
	count, rest := cutUvarint(rest)
	cents, rest := cutVarint(rest)
	firstMillis, rest := cutVarint(rest)
	firstOffset, rest := cutVarint(rest)
	millis, rest := cutUvarint(rest)
	offset, rest := cutVarint(rest)
	// A payment has at least a byte for its amount, and each but the first two more.
	if wantBytes := max(3*int64(count)-2, 0); rest == nil || count > uint64(len(b)) || wantBytes > int64(len(rest)) || int64(millis) < 0 {
		return ErrHistory
	}
	*h = History{
		count:    int(count),
		cents:    cents,
		first:    place{firstMillis, firstOffset},
		last:     place{firstMillis + int64(millis), firstOffset + offset},
		payments: append(make([]byte, 0, len(rest)+spare), rest...),
	}
	return nil
}

// cutUvarint reads a number and returns what follows it: nil if there was none, which reads as more zeros.
func cutUvarint(b []byte) (uint64, []byte) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil
	}
	return v, b[n:]
}

func cutVarint(b []byte) (int64, []byte) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil
	}
	return v, b[n:]
}
