package producer_test

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/producer"
)

func ExampleState() {
	var s producer.State
	first := producer.NewMeta(9, 0, 0, 100)
	s.Append(first, 5000, 1_700_000_000_000)

	// The answer was lost, so the client sends the batch again.
	dup, isDup, err := s.Check(first)
	fmt.Println(dup.BaseOffset, isDup, err)

	// Sequences 100 to 199 got lost on the way.
	_, _, err = s.Check(producer.NewMeta(9, 0, 200, 100))
	fmt.Println(err)
	// Output:
	// 5000 true <nil>
	// producer: sequence number is out of order: producer 9 epoch 0 sent 200, want 100
}
