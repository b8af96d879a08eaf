package api

import (
	"net/http"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
)

type ruleList struct {
	Rules []rulebook.Rule `json:"rules"`
	// Variables are what conditions may name besides id, card, terminal, amount, time and lists.
	Variables []string `json:"variables"`
}

func (s *Server) listRules(w http.ResponseWriter, _ *http.Request) error {
	schema, err := deciding.Schema()
	if err != nil {
		return err
	}
	rules := look(s, (*deciding.Book).Rules)
	return httpapi.Reply(w, http.StatusOK, ruleList{append([]rulebook.Rule{}, rules...), schema.Features()})
}

func (s *Server) findRule(r *http.Request) (rulebook.Rule, bool) {
	return named(look(s, (*deciding.Book).Rules), r.PathValue("name"), func(r rulebook.Rule) string { return r.Name })
}

var errNoRule = httpapi.NotFound("there is no such rule: GET /v1/rules lists them")

func (s *Server) showRule(w http.ResponseWriter, r *http.Request) error {
	rule, ok := s.findRule(r)
	if !ok {
		return errNoRule
	}
	return httpapi.Reply(w, http.StatusOK, rule)
}

// ruleBody is a version of a rule as it is put.
type ruleBody struct {
	Condition string          `json:"condition"`
	Action    rulebook.Action `json:"action"`
	Mode      rulebook.Mode   `json:"mode"` // live, if it is missing
	Order     int             `json:"order"`
	Text      string          `json:"text"`
	// Version is the one that the client has seen, 0 for a new rule; without it, whatever is there.
	Version *int   `json:"version"`
	Why     string `json:"why"`
}

// changedRule is a rule with where it counts from.
type changedRule struct {
	Rule rulebook.Rule `json:"rule"`
	effect
}

func (s *Server) putRule(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Decode[ruleBody](r)
	if err != nil {
		return err
	}
	var checks httpapi.Checks
	checks.Text("/why", body.Why, 1, maxWhy)
	checks.Text("/text", body.Text, 0, maxWhy)
	checks.Text("/condition", body.Condition, 1, rulebook.MaxCondition)
	if body.Mode == "" {
		body.Mode = rulebook.Live
	}
	if body.Mode != rulebook.Live && body.Mode != rulebook.Shadow && body.Mode != rulebook.Paused {
		checks.Add("/mode", "want live, shadow or paused")
	}
	if body.Action != rulebook.Approve && body.Action != rulebook.Review && body.Action != rulebook.Block {
		checks.Add("/action", "want approve, review or block")
	}
	if err := checks.Err(); err != nil {
		return err
	}
	now, known := s.findRule(r)
	if err := follows(body.Version, now.Version); err != nil {
		return err
	}
	return s.writeRule(w, r, rulebook.Rule{
		Name: r.PathValue("name"), Version: now.Version + 1, Condition: body.Condition, Action: body.Action, Mode: body.Mode,
		Order: body.Order, Text: body.Text,
	}, body.Why, !known)
}

// setRuleMode pauses a rule, makes it a shadow or brings it back to life.
func (s *Server) setRuleMode(w http.ResponseWriter, r *http.Request) error {
	rule, ok := s.findRule(r)
	if !ok {
		return errNoRule
	}
	body, err := httpapi.Decode[modeChange](r)
	if err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	if err := follows(body.Version, rule.Version); err != nil {
		return err
	}
	rule.Mode = body.Mode
	rule.Version++
	return s.writeRule(w, r, rule, body.Why, false)
}

func (s *Server) writeRule(w http.ResponseWriter, r *http.Request, rule rulebook.Rule, why string, isNew bool) error {
	e, err := s.change(r, desk.Change{Change: rulebook.Change{Rule: &rule, Why: why}}, "/condition")
	if err != nil {
		return err
	}
	return httpapi.Reply(w, status(isNew), changedRule{rule, e})
}

func (s *Server) removeRule(w http.ResponseWriter, r *http.Request) error {
	rule, ok := s.findRule(r)
	if !ok {
		return errNoRule
	}
	return s.remove(w, r, rulebook.Change{RemoveRule: rule.Name})
}

// remove removes a rule or a list.
func (s *Server) remove(w http.ResponseWriter, r *http.Request, c rulebook.Change) (err error) {
	if c.Why, err = reason(r); err != nil {
		return err
	}
	e, err := s.change(r, desk.Change{Change: c}, "")
	if err != nil {
		return err
	}
	return httpapi.Reply(w, http.StatusOK, e)
}
