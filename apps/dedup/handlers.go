package main

import (
	"crypto/rand"
	"errors"
	"net/http"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/httpapi"
	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/apps/internal/replies"
)

// handlers answer the requests of the API.
type handlers struct {
	api       *httpapi.API
	desk      *replies.Desk[Payment, Decision]
	ring      *pan.Ring
	byArrival bool // which time the records have
}

func (h *handlers) routes() []httpapi.Route {
	return []httpapi.Route{
		{Pattern: "POST /v1/payments", Handle: h.submit},
		{Pattern: "GET /v1/decisions/{id}", Handle: h.decision},
		httpapi.CardsRoute(h.ring),
	}
}

// submission is a payment as it is submitted.
type submission struct {
	ID string `json:"id"`
	httpapi.Card
	Terminal string    `json:"terminal"`
	Amount   *int64    `json:"amount"` // in minor units; below zero: a reversal
	At       time.Time `json:"at"`     // the present, if it is missing
}

// maxText bounds ids and terminals.
const maxText = 200

func (s submission) payment(ring *pan.Ring, now time.Time) (Payment, error) {
	var checks httpapi.Checks
	card := s.Key(ring, &checks)
	checks.Text("/id", s.ID, 1, maxText)
	checks.Text("/terminal", s.Terminal, 1, maxText)
	if s.Amount == nil {
		checks.Add("/amount", "is missing")
		s.Amount = new(int64)
	}
	at := s.At.UTC().Truncate(time.Millisecond)
	switch {
	case s.At.IsZero():
		at = now
	case at.UnixMilli() < 0 || at.Year() > 9999:
		checks.Add("/at", "want a time from 1970 to 9999")
	}
	return Payment{ID: s.ID, Card: card, Terminal: s.Terminal, Amount: *s.Amount, At: at}, checks.Err()
}

// verdict is what the API says of a payment.
type verdict struct {
	// Request is the id of the submission: a payment that comes twice has two.
	Request string `json:"request"`
	Card    string `json:"card,omitzero"`
	Shown   string `json:"shown,omitzero"` // the card number, masked
	Decision
}

// submit writes a payment and waits for its decision.
func (h *handlers) submit(w http.ResponseWriter, r *http.Request) error {
	s, err := httpapi.Decode[submission](r)
	if err != nil {
		return err
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	payment, err := s.payment(h.ring, now)
	if err != nil {
		return err
	}
	ctx, cancel, err := h.api.Wait(r)
	if err != nil {
		return err
	}
	defer cancel()
	at := payment.At
	if h.byArrival {
		at = now
	}
	request := rand.Text()
	d, err := h.desk.Do(ctx, request, nil, payment.Card, payment, at)
	switch {
	case errors.Is(err, replies.ErrPending):
		return httpapi.Pending(w, request)
	case errors.Is(err, replies.ErrBusy):
		return httpapi.Unavailable("too many payments wait for their decisions")
	case err != nil:
		return err
	}
	return httpapi.Reply(w, http.StatusOK, verdict{request, payment.Card, s.PAN.String(), d})
}

// decision tells what became of a submission that was not waited for.
func (h *handlers) decision(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	d, err := h.desk.Find(id)
	switch {
	case errors.Is(err, replies.ErrPending):
		return httpapi.StillPending(w, id)
	case errors.Is(err, replies.ErrUnknown):
		return httpapi.NotFound("nothing is known of a request of this id, or its decision lies too far back: the topic %s has it then", Decisions.Name)
	case err != nil:
		return err
	}
	return httpapi.Reply(w, http.StatusOK, verdict{Request: id, Decision: d})
}
