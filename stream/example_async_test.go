package stream_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// score asks a service how suspicious a payment is. It would send a request with ctx.
func score(_ context.Context, p Payment) (int64, error) {
	if p.Country == "" {
		return 0, stream.Permanent(errors.New("no country"))
	}
	return p.Cents / 100, nil
}

// Slow calls are made for many payments at a time; of one card one after the other. The answers go on in order.
func ExampleStream_AsyncMap() {
	b := stream.NewBuilder("scores")
	b.From(Payments).
		AsyncMap("score", score, stream.Async{MaxInFlight: 100, Timeout: time.Second, Attempts: 2}).
		Filter(func(score int64) bool { return score > 100 }).
		To(Totals)

	for _, r := range pipe(b).Read(Totals) {
		fmt.Println(r.Key, r.Value)
	}
	// Output:
	// card-2 900
	// card-1 120
}

var seenCards = state.NewKeyValueStore("cards", serde.String, serde.Int64)

// firstOfCard passes the first payment of each card on.
func firstOfCard(c *stream.Context[string, Payment], r stream.Record[string, Payment]) error {
	if _, found, err := seenCards.In(c).Get(r.Key); err != nil || found {
		return err
	}
	if err := seenCards.In(c).Put(r.Key, 1); err != nil {
		return err
	}
	return c.Forward(r.Key, r.Value)
}

// What has been computed with state is rekeyed first: it goes through a topic, and calls begin once it is committed.
func ExampleStream_AsyncMapRecord() {
	b := stream.NewBuilder("scores")
	b.From(Payments).
		Process("first", firstOfCard, seenCards).
		Rekey("to-score", Payments.Key, Payments.Value, func(card string, _ Payment) string { return card }).
		AsyncMapRecord("score", func(ctx context.Context, r stream.Record[string, Payment]) (string, error) {
			cents, err := score(ctx, r.Value)
			return fmt.Sprintf("%s scores %d at %s", r.Key, cents, r.Time.Format("15:04:05")), err
		}, stream.Async{}).
		To(Notes)

	for _, note := range pipe(b).Values(Notes) {
		fmt.Println(note)
	}
	// Output:
	// card-1 scores 4 at 12:00:00
	// card-2 scores 900 at 12:00:01
}
