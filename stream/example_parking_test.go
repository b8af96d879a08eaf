package stream_test

import (
	"errors"
	"fmt"

	"github.com/riffle-stream/riffle/stream"
)

// With ParkKeys the payments of a card stay in order when one of them fails: the later ones wait until it was put back.
func ExampleErrors_parkKeys() {
	available := false
	b := stream.NewBuilder("fraud")
	b.OnError(stream.Errors{ParkKeys: true})
	b.From(Payments).TryMap(func(p Payment) (string, error) {
		if p.Card == "card-1" && !available {
			return "", errors.New("not available")
		}
		return fmt.Sprint(p.Card, " at ", p.Shop, " for ", p.Cents), nil
	}).To(Notes)

	d := pipe(b)
	fmt.Println(d.Values(Notes))
	letters := d.DeadLetters()
	for _, l := range letters {
		fmt.Println(l.Stage, l.Cause)
	}
	available = true
	d.Replay(letters...) // riffle dlq replay fraud
	for _, note := range d.Values(Notes) {
		fmt.Println(note)
	}
	// Output:
	// [card-2 at jeweller for 90000]
	// processing not available
	// waiting an earlier record of its key is among the dead letters
	// card-1 at bakery for 450
	// card-1 at bakery for 12000
}
