// Package payment holds what the fraud app knows of a card payment: the transaction, its amount in exact cents,
// and its row in a CSV file with the columns of the card fraud handbook.
//
// Values only: no topic, no rule and no state lives here.
package payment
