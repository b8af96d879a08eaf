package payment

import "time"

// Label says of an earlier payment that it was a fraud. Of a genuine payment nobody says anything, unless somebody had suspected it.
type Label struct {
	Transaction Transaction `avro:"transaction"`
	// Genuine says that the payment was looked at, and was no fraud.
	Genuine bool `avro:"genuine"`
	// Known is when it became known, in UTC.
	Known time.Time `avro:"known"`
}
