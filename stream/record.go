package stream

import "time"

// Record is a typed record.
type Record[K, V any] struct {
	// Key is the zero value if the record has none; see [Topic] for null.
	Key   K
	Value V
	// Time is the event time, in UTC, with the resolution of the log: a millisecond.
	Time    time.Time
	Headers []Header

	// Topic, Partition and Offset say where the record was read. Operators pass them on: an output of a processor
	// still says which input caused it.
	Topic     string
	Partition int32
	Offset    int64
}

// Header is a key-value pair that travels with a record. Its value must not be changed.
type Header struct {
	Key   string
	Value []byte
}
