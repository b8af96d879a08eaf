package client

// Header is a key-value pair that travels with a record. A nil Value is Kafka's null.
type Header struct {
	Key   string
	Value []byte
}

// Record is a view of one fetched record. Key, Value and the header values point into the fetched bytes: they
// must not be changed. A nil Key or Value is Kafka's null.
type Record struct {
	Key, Value []byte
	Headers    []Header
	// Timestamp is in milliseconds since the epoch.
	Timestamp int64
	// Offset is the record's position in its partition.
	Offset int64
}

// Batch is a run of records of one partition, in ascending order of offset. Compaction may leave gaps.
type Batch struct {
	Topic     string
	Partition int32
	Records   []Record
	// First is the offset at which a fetched batch begins. It may be that of a record that applications do not see.
	First int64
	// Next is the offset after the last record of the batch, also where that record is one that applications do
	// not see (the end of a transaction), so that a batch may be empty and still move the position.
	Next int64
	// End is where the partition ended for a reader of committed records at the time of the fetch (Kafka's last stable
	// offset).
	End int64
}

// Output is a record on its way out. The client copies its bytes, so they need to stay unchanged only for the
// length of the call that takes it.
type Output struct {
	Topic string
	// Partition is where a record of a changelog goes. For all other topics the key decides.
	Partition  int32
	Key, Value []byte
	Headers    []Header
	// Timestamp is in milliseconds since the epoch.
	Timestamp int64
}

// headerOverhead is what the lengths of a header's key and value take at most.
const headerOverhead = 10

// Size is what a record of this key, value and headers counts against the limits.
func Size(key, value []byte, headers []Header) int {
	n := len(key) + len(value)
	for _, h := range headers {
		n += len(h.Key) + len(h.Value) + headerOverhead
	}
	return n
}
