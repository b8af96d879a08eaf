package rulebook

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Action is what is to be done with a payment. Of several, the highest wins.
type Action string

// The actions, from the lowest to the highest.
const (
	Approve Action = "approve"
	Review  Action = "review"
	Block   Action = "block"
)

var actions = []Action{Approve, Review, Block}

// Higher returns the higher of two actions.
func Higher(a, b Action) Action {
	if slices.Index(actions, b) > slices.Index(actions, a) {
		return b
	}
	return a
}

// Mode says whether a rule counts.
type Mode string

const (
	Live   Mode = "live"   // its hits decide
	Shadow Mode = "shadow" // it is evaluated, and its hits are told, but do not decide
	Paused Mode = "paused" // it is not evaluated
)

// Rule is one rule. Its name never changes; its version grows with each change.
type Rule struct {
	Name string `json:"name"`
	// Version is 1 for a new rule and grows by 1 with each change.
	Version int `json:"version"`
	// Condition is a CEL expression that is true for a payment that the rule is about.
	Condition string `json:"condition"`
	Action    Action `json:"action"`
	Mode      Mode   `json:"mode"`
	// Order is the place in which rules are evaluated, lowest first; equal ones go by name.
	Order int `json:"order"`
	// Text says in plain words what the rule is for.
	Text string `json:"text,omitzero"`
}

// List is a named set of values that conditions look things up in: card in lists.blocked.
type List struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// Snooze keeps a rule from counting for one card until a time, of the payments.
type Snooze struct {
	Rule  string    `json:"rule"`
	Card  string    `json:"card"`
	Until time.Time `json:"until"`
}

// Limits of what a book holds, so that what people enter cannot fill the memory of every task.
const (
	MaxRules      = 500
	MaxCondition  = 4096 // bytes
	MaxLists      = 100
	MaxListValues = 100_000
	MaxSnoozes    = 10_000
	maxName       = 100
	maxText       = 2000
)

func (r Rule) validate() error {
	errs := []error{validName("rule", r.Name)}
	if r.Version < 1 {
		errs = append(errs, fmt.Errorf("version %d: want 1 or more", r.Version))
	}
	switch {
	case strings.TrimSpace(r.Condition) == "":
		errs = append(errs, errors.New("no condition: want an expression such as amount > 220.0"))
	case len(r.Condition) > MaxCondition:
		errs = append(errs, fmt.Errorf("a condition of %d bytes: want at most %d", len(r.Condition), MaxCondition))
	}
	if !slices.Contains(actions, r.Action) {
		errs = append(errs, fmt.Errorf("action %q: want approve, review or block", r.Action))
	}
	if r.Mode != Live && r.Mode != Shadow && r.Mode != Paused {
		errs = append(errs, fmt.Errorf("mode %q: want live, shadow or paused", r.Mode))
	}
	if len(r.Text) > maxText {
		errs = append(errs, fmt.Errorf("a text of %d bytes: want at most %d", len(r.Text), maxText))
	}
	return errors.Join(errs...)
}

func (l List) validate() error {
	err := validName("list", l.Name)
	if len(l.Values) > MaxListValues {
		err = errors.Join(err, fmt.Errorf("%d values: a list has at most %d", len(l.Values), MaxListValues))
	}
	return err
}

func (s Snooze) validate() error {
	err := validName("rule", s.Rule)
	if s.Card == "" {
		err = errors.Join(err, errors.New("no card: a snooze is for one card"))
	}
	if s.Until.IsZero() {
		err = errors.Join(err, errors.New("no end: a snooze needs one"))
	}
	return err
}

// validName wants what can be written behind lists. in a condition, and be part of a key.
func validName(kind, name string) error {
	if name == "" || len(name) > maxName || name[0] >= '0' && name[0] <= '9' {
		return fmt.Errorf("%s name %q: want 1 to %d letters, digits, '_' or '-', and no digit in front", kind, name, maxName)
	}
	for _, c := range []byte(name) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' && kind == "rule") {
			return fmt.Errorf("%s name %q: want letters, digits and '_'%s", kind, name, map[bool]string{true: " or '-'"}[kind == "rule"])
		}
	}
	return nil
}
