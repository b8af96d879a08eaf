package desk

import (
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

// Place is where a record lies.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Decision is what the desk says of a payment.
type Decision struct {
	Payment  int64         `json:"payment"` // its id
	Card     string        `json:"card"`
	Terminal string        `json:"terminal"`
	Amount   payment.Cents `json:"amount"`
	Time     time.Time     `json:"time"`

	// Action is the highest of the live rules that hit. It is empty for a payment that repeats another one under its
	// id (see Duplicate): the first one's decision holds.
	Action rulebook.Action `json:"action,omitzero"`
	// Score is that of the live model; 0 without one.
	Score float64 `json:"score"`
	// Scores are those of all models, the live one first.
	Scores []ModelScore `json:"scores,omitempty"`
	// Results are those of the rules that did not simply say no, shadows included.
	Results []rulebook.Result `json:"results,omitempty"`

	// At is where the payment was decided, in [Inputs], and Revision the number of changes in force there.
	At       Place `json:"at"`
	Revision int64 `json:"revision"`

	// Duplicate says what the payment repeats, or may repeat.
	Duplicate *Duplicate `json:"duplicate,omitzero"`
	// Explanation is there if a rule hit, or failed.
	Explanation *Explanation `json:"explanation,omitzero"`
}

// ModelScore is a version of a model with its score.
type ModelScore struct {
	Model   string        `json:"model"`
	Version int           `json:"version"`
	Mode    rulebook.Mode `json:"mode"`
	Score   float64       `json:"score"`
}

// Duplicate is a payment that repeats another one.
type Duplicate struct {
	Verdict duplicates.Verdict `json:"verdict"`
	Source  Place              `json:"source"` // of the payment
	First   Place              `json:"first"`  // of the one that it repeats
}

// Explanation says what a decision is made of.
type Explanation struct {
	// Features are what rules and models saw, by name.
	Features map[string]float64 `json:"features"`
	// Contributions are the features that moved the live model's score most, the largest first.
	Contributions []Contribution `json:"contributions,omitempty"`
	// Before is what was known before the payment.
	Before Before `json:"before"`
	// Records are the payment itself, the last payments of its card before it, and the labels of frauds at its terminal.
	Records []Place `json:"records"`
}

// Contribution is how far a feature moved a score, in log odds.
type Contribution struct {
	Feature string  `json:"feature"`
	Value   float64 `json:"value"`
	LogOdds float64 `json:"logOdds"`
}

// Before is the state that a payment found, in windows of 1, 7 and 30 days: without the payment itself.
type Before struct {
	CardPayments     [3]int64         `json:"cardPayments"`
	CardAmount       [3]payment.Cents `json:"cardAmount"`
	TerminalPayments [3]int64         `json:"terminalPayments"` // up to a week ago
	TerminalFrauds   [3]int64         `json:"terminalFrauds"`   // known among them
	Recent           []Recent         `json:"recent,omitempty"` // of the card, the youngest first
}

// Recent is an earlier payment of a card.
type Recent struct {
	Offset int64         `json:"offset"` // in the payment's partition of [Transactions]
	Time   time.Time     `json:"time"`
	Amount payment.Cents `json:"amount"`
}
