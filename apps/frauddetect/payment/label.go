package payment

import "time"

// Label says of an earlier payment that it was a fraud. Of a genuine payment nobody says anything.
type Label struct {
	Transaction Transaction `avro:"transaction"`
	// Known is when it became known, in UTC. It is the event time.
	Known time.Time `avro:"known"`
}

// At returns the event time.
func (l Label) At() time.Time { return l.Known }
