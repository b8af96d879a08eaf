package api

import (
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/apps/internal/replies"
)

// submission is a payment as it is submitted.
type submission struct {
	ID *int64 `json:"id"`
	httpapi.Card
	Terminal string         `json:"terminal"`
	Amount   jsontext.Value `json:"amount"` // in units, with at most two decimals
	Time     time.Time      `json:"time"`   // the present, if it is missing
}

// maxTerminal bounds the name of a terminal.
const maxTerminal = 200

// payment returns what is submitted, and what a client that tries again says again.
func (s submission) payment(ring *pan.Ring, now time.Time) (t payment.Transaction, content []byte, err error) {
	var checks httpapi.Checks
	card := s.Key(ring, &checks)
	checks.Text("/terminal", s.Terminal, 1, maxTerminal)
	if s.ID == nil || *s.ID < 0 {
		checks.Add("/id", "want a whole number from 0 on")
		s.ID = new(int64)
	}
	amount, err := payment.ParseCents(s.Amount)
	if err != nil || amount == 0 {
		checks.Add("/amount", "want a number above 0 with at most two decimals, such as 57.16")
	}
	at := s.Time.UTC().Truncate(time.Millisecond)
	content = fmt.Appendf(nil, "%d %q %q %d %v", *s.ID, card, s.Terminal, amount, at)
	switch {
	case s.Time.IsZero():
		at = now.UTC().Truncate(time.Millisecond)
	case at.UnixMilli() < 0 || at.Year() > 9999:
		checks.Add("/time", "want a time from 1970 to 9999")
	}
	return payment.Transaction{ID: *s.ID, Time: at, Card: card, Terminal: s.Terminal, Amount: amount}, content, checks.Err()
}

// decided is a decision as the API tells it.
type decided struct {
	// Shown is the card number, masked, if it was submitted.
	Shown string `json:"shown,omitzero"`
	desk.Decision
}

// submit writes a payment and waits for its decision.
func (s *Server) submit(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Decode[submission](r)
	if err != nil {
		return err
	}
	t, content, err := body.payment(s.cfg.Ring, time.Now())
	if err != nil {
		return err
	}
	ctx, cancel, err := s.Wait(r)
	if err != nil {
		return err
	}
	defer cancel()
	id := strconv.FormatInt(t.ID, 10)
	d, err := s.desk.Do(ctx, id, content, t.Card, t, t.Time)
	switch {
	case errors.Is(err, replies.ErrPending):
		return httpapi.Pending(w, id)
	case errors.Is(err, replies.ErrBusy):
		return httpapi.Unavailable("too many payments wait for their decisions")
	case errors.Is(err, replies.ErrOtherContent):
		return otherContent(id)
	case err != nil:
		return err
	}
	return tell(w, d, body.PAN.String())
}

func otherContent(id string) error {
	return httpapi.Conflict("there was a payment %s before, with other content: give each payment an id of its own", id)
}

// tell answers with a decision.
func tell(w http.ResponseWriter, d desk.Decision, shown string) error {
	if d.Duplicate != nil && d.Duplicate.Verdict == duplicates.Conflict {
		return otherContent(strconv.FormatInt(d.Payment, 10))
	}
	return httpapi.Reply(w, http.StatusOK, decided{shown, d})
}

// decision tells the decision on a payment that was not waited for.
func (s *Server) decision(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	d, err := s.desk.Find(id)
	switch {
	case errors.Is(err, replies.ErrPending):
		return httpapi.StillPending(w, id)
	case errors.Is(err, replies.ErrUnknown):
		return httpapi.NotFound("no payment of this id was submitted here, or its decision lies too far back: the topic %s has it then", desk.Decisions.Name)
	case err != nil:
		return err
	}
	return tell(w, d, "")
}
