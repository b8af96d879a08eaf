package record_test

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/record"
)

func ExampleBatch_Records() {
	var w record.Builder
	w.Append(1000, []byte("card-1"), []byte("12.50"))
	w.Append(2000, []byte("card-2"), []byte("7.00"), record.Header{Key: "shop", Value: []byte("north")})
	batch := w.Finish()
	batch.SetBaseOffset(41)

	for r, err := range batch.Records() {
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(r.Offset, r.Timestamp, string(r.Key), string(r.Value), len(r.Headers))
	}
	// Output:
	// 41 1000 card-1 12.50 0
	// 42 2000 card-2 7.00 1
}

func ExampleNext() {
	var w record.Builder
	w.Append(0, nil, []byte("a"))
	segment := append([]byte{}, w.Finish()...)
	w.Append(0, nil, []byte("b"))
	segment = append(segment, w.Finish()...)
	segment = segment[:len(segment)-1] // a torn write

	for {
		batch, rest, err := record.Next(segment)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(batch.Count(), "record,", batch.Check())
		segment = rest
	}
	// Output:
	// 1 record, <nil>
	// record: batch is cut short
}

func ExampleBatch_Validate() {
	var w record.Builder
	w.Append(0, nil, []byte("a"))
	batch := w.Finish()
	batch[len(batch)-2] = 'b'
	fmt.Println(batch.Validate())
	// Output:
	// record: batch is corrupt: checksum ef0e60ef, header says dbe9c876
}
