package stream_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/stream"
)

// Failures are handled by stage, for the whole topology and by topic. By default each is a dead letter.
func ExampleBuilder_OnError() {
	b := stream.NewBuilder("fraud")
	b.OnError(stream.Errors{
		// What came by a wrong way is no loss; anything else that does not decode is looked at.
		Decoding: func(f stream.Failure) stream.Reaction {
			if len(f.Value) == 0 {
				return stream.Skip
			}
			return stream.DeadLetter
		},
		Attempts: 3, Backoff: 50 * time.Millisecond,
	})
	calls := 0
	b.From(Payments).
		TryMap(func(p Payment) (int64, error) {
			if calls++; calls == 1 {
				return 0, errors.New("not available") // once
			}
			return p.Cents, nil
		}).
		To(Totals)

	d := pipe(b)
	d.PipeBytes("payments", []byte("card-3"), []byte{}, noon)
	for _, r := range d.Read(Totals) {
		fmt.Println(r.Key, r.Value)
	}
	fmt.Println(len(d.Skipped()), "skipped,", len(d.DeadLetters()), "dead letters")
	// Output:
	// card-1 450
	// card-2 90000
	// card-1 12000
	// 1 skipped, 0 dead letters
}

// A topic may have a handler of its own: an alert that cannot be written is worth a stop.
func ExampleTopic_OnError() {
	alerts := Notes.OnError(stream.Always(stream.Stop))
	b := stream.NewBuilder("fraud")
	b.From(Payments).Filter(Payment.Large).Map(func(p Payment) string { return "large: " + p.Shop }).To(alerts)

	fmt.Println(pipe(b).Values(Notes))
	// Output: [large: jeweller large: bakery]
}
