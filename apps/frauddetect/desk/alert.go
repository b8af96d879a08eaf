package desk

import (
	"errors"
	"fmt"
	"time"
)

// Alert is a decision that somebody should look at: to review or to block.
type Alert struct {
	// ID names the alert by the place of its decision, so a replay gives the same.
	ID string `json:"id"`
	Decision
}

// NewAlert makes an alert of a decision.
func NewAlert(d Decision) Alert {
	return Alert{ID: fmt.Sprintf("%d-%d", d.At.Partition, d.At.Offset), Decision: d}
}

// Status is what is known of an alert.
type Status string

// An alert is open until somebody has found out whether it was a fraud. That can change: the last word counts.
const (
	Open      Status = "open"
	Confirmed Status = "confirmed" // a fraud
	Dismissed Status = "dismissed" // none
)

// AlertChange is what somebody does with an alert. What is nil stays as it is.
type AlertChange struct {
	Alert    string    `json:"alert"` // ID
	Card     string    `json:"card"`  // of the alert: the key
	Status   *Status   `json:"status,omitzero"`
	Assignee *string   `json:"assignee,omitzero"` // empty: nobody
	Note     *string   `json:"note,omitzero"`
	Who      string    `json:"who"`
	At       time.Time `json:"at"`
}

// Case is an alert with what people did with it.
type Case struct {
	Alert
	Status   Status `json:"status"`
	Assignee string `json:"assignee,omitzero"`
	Note     string `json:"note,omitzero"`
	// Version is 1 for a new alert and grows by 1 with each change. Who changed it last, and when:
	Version int       `json:"version"`
	Who     string    `json:"who,omitzero"`
	Changed time.Time `json:"changed,omitzero"`
}

// Apply makes the change of a case, or returns why it cannot be made.
func (c AlertChange) Apply(to *Case) error {
	switch {
	case c.Alert != to.ID || c.Card != to.Card:
		return fmt.Errorf("desk: a change of alert %s is none of alert %s", c.Alert, to.ID)
	case c.Who == "" || c.At.IsZero():
		return errors.New("desk: a change of an alert must say who made it, and when")
	case c.Status != nil && *c.Status != Open && *c.Status != Confirmed && *c.Status != Dismissed:
		return fmt.Errorf("desk: status %q: want open, confirmed or dismissed", *c.Status)
	case c.Note != nil && len(*c.Note) > maxNote || c.Assignee != nil && len(*c.Assignee) > maxAssignee:
		return fmt.Errorf("desk: a note has at most %d bytes, an assignee %d", maxNote, maxAssignee)
	}
	if c.Status != nil {
		to.Status = *c.Status
	}
	if c.Assignee != nil {
		to.Assignee = *c.Assignee
	}
	if c.Note != nil {
		to.Note = *c.Note
	}
	to.Version++
	to.Who, to.Changed = c.Who, c.At
	return nil
}

// Limits of what people write.
const (
	maxNote     = 10_000
	maxAssignee = 200
)
