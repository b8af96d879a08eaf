package payment

import "time"

// Label says of an earlier payment that it was a fraud. Of a genuine payment nobody says anything, unless somebody had suspected it.
type Label struct {
	Transaction Transaction `avro:"transaction"`
	// Genuine says that the payment was looked at, and was no fraud.
	Genuine bool `avro:"genuine"`
	// Known is when it became known, in UTC. It is the event time.
	Known time.Time `avro:"known"`
}

// At returns the event time.
func (l Label) At() time.Time { return l.Known }
