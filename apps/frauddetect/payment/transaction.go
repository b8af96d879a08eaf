package payment

import "time"

// Transaction is one card payment.
type Transaction struct {
	ID int64 `avro:"id"`
	// Time is when the payment was made, in milliseconds, UTC. It is the event time.
	Time time.Time `avro:"time"`
	// Card is the customer's card. Payments of one card are processed in order.
	Card     string `avro:"card"`
	Terminal string `avro:"terminal"`
	Amount   Cents  `avro:"cents"`
	// Scenario labels a fraud with the way it was simulated, 1 to 3; 0 is genuine or unknown. It is for judging the rules
	// afterwards: no rule may read it.
	Scenario int8 `avro:"scenario"`
}

// At returns the event time.
func (t Transaction) At() time.Time { return t.Time }

// Fraud reports whether the payment is labelled a fraud.
func (t Transaction) Fraud() bool { return t.Scenario != 0 }
