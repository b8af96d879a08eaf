package api

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
	"github.com/riffle-stream/riffle/stream"
)

// How many alerts a list has.
const (
	usualAlerts = 50
	mostAlerts  = 500
)

// alertList is a part of the alerts, the latest first.
type alertList struct {
	Alerts []desk.Case `json:"alerts"`
	// Next is what to give as after to see those behind; empty at the end.
	Next string `json:"next,omitzero"`
}

func (s *Server) listAlerts(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	limit := usualAlerts
	if text := query.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostAlerts {
			return httpapi.NewProblem(http.StatusBadRequest, "query", "limit: want a number from 1 to %d", mostAlerts)
		}
		limit = n
	}
	after := query.Get("after")
	if _, known := s.board.Get(after); after != "" && !known {
		return httpapi.NewProblem(http.StatusBadRequest, "query", "after: there is no such alert: begin the list again")
	}
	matches := func(name, value string) bool { return query.Get(name) == "" || query.Get(name) == value }
	cases, more := s.board.List(func(c *desk.Case) bool {
		return matches("status", string(c.Status)) && matches("card", c.Card) && matches("action", string(c.Action)) &&
			matches("assignee", c.Assignee) && (query.Get("rule") == "" || hasHit(c, query.Get("rule")))
	}, after, limit)
	list := alertList{Alerts: append([]desk.Case{}, cases...)}
	if more {
		list.Next = cases[len(cases)-1].ID
	}
	return httpapi.Reply(w, http.StatusOK, list)
}

func hasHit(c *desk.Case, rule string) bool {
	return slices.ContainsFunc(c.Results, func(r rulebook.Result) bool { return r.Rule == rule && r.Outcome == rulebook.Hit })
}

func (s *Server) findAlert(r *http.Request) (desk.Case, error) {
	c, ok := s.board.Get(r.PathValue("id"))
	if !ok {
		return c, httpapi.NotFound("there is no such alert among the latest %d", maxCases)
	}
	return c, nil
}

func (s *Server) showAlert(w http.ResponseWriter, r *http.Request) error {
	c, err := s.findAlert(r)
	if err != nil {
		return err
	}
	return httpapi.Reply(w, http.StatusOK, c)
}

// alertChange is what somebody does with an alert. What is missing stays as it is.
type alertChange struct {
	Status   *desk.Status `json:"status"`
	Assignee *string      `json:"assignee"`
	Note     *string      `json:"note"`
	// Version is that of the alert which the change is about; without it, of whatever it is now.
	Version *int `json:"version"`
}

// The most bytes of what people write.
const (
	maxNote     = 10_000
	maxAssignee = 200
)

func (c alertChange) check() error {
	var checks httpapi.Checks
	if c.Status == nil && c.Assignee == nil && c.Note == nil {
		checks.Add("", "nothing is to be changed: want status, assignee or note")
	}
	if c.Status != nil && *c.Status != desk.Open && *c.Status != desk.Confirmed && *c.Status != desk.Dismissed {
		checks.Add("/status", "want open, confirmed or dismissed")
	}
	if c.Assignee != nil {
		checks.Text("/assignee", *c.Assignee, 0, maxAssignee)
	}
	if c.Note != nil {
		checks.Text("/note", *c.Note, 0, maxNote)
	}
	return checks.Err()
}

// changeAlert writes a change, and waits until it shows.
func (s *Server) changeAlert(w http.ResponseWriter, r *http.Request) error {
	c, err := s.findAlert(r)
	if err != nil {
		return err
	}
	body, err := httpapi.Decode[alertChange](r)
	if err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	if body.Version != nil && *body.Version != c.Version {
		return httpapi.Conflict("the alert is of version %d, not %d: somebody has changed it meanwhile; look at it again", c.Version, *body.Version)
	}
	ctx, cancel, err := s.Wait(r)
	if err != nil {
		return err
	}
	defer cancel()
	err = s.writeAlertChange(r, desk.AlertChange{
		Alert: c.ID, Card: c.Card, Status: body.Status, Assignee: body.Assignee, Note: body.Note,
		Who: httpapi.User(r.Context()), At: time.Now().UTC().Truncate(time.Millisecond),
	})
	if err != nil {
		return err
	}
	if c, err = s.board.Await(ctx, c.ID, c.Version+1); err != nil {
		return httpapi.NewProblem(http.StatusGatewayTimeout, "pending", "the change is written, and does not show yet")
	}
	return httpapi.Reply(w, http.StatusOK, c)
}

func (s *Server) writeAlertChange(r *http.Request, c desk.AlertChange) error {
	s.alerts.Lock()
	defer s.alerts.Unlock()
	// Its context is not that of the request: a record that is given up would break the writer for all.
	ctx := s.background(r)
	err := s.alerts.writer.Write(ctx, stream.Record[string, desk.AlertChange]{Key: c.Card, Value: c, Time: c.At})
	if err == nil {
		err = s.alerts.writer.Flush(ctx)
	}
	return err
}
