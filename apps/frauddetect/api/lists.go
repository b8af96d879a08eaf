package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
)

// listView is a list without its values.
type listView struct {
	Name string `json:"name"`
	Size int    `json:"size"`
}

func (s *Server) listLists(w http.ResponseWriter, _ *http.Request) error {
	all := struct {
		Lists []listView `json:"lists"`
	}{[]listView{}}
	for _, l := range look(s, (*deciding.Book).Lists) {
		all.Lists = append(all.Lists, listView{l.Name, len(l.Values)})
	}
	return httpapi.Reply(w, http.StatusOK, all)
}

func (s *Server) findList(r *http.Request) (rulebook.List, bool) {
	return named(look(s, (*deciding.Book).Lists), r.PathValue("name"), func(l rulebook.List) string { return l.Name })
}

var errNoList = httpapi.NotFound("there is no such list: GET /v1/lists tells their names")

func (s *Server) showList(w http.ResponseWriter, r *http.Request) error {
	l, ok := s.findList(r)
	if !ok {
		return errNoList
	}
	l.Values = append([]string{}, l.Values...)
	return httpapi.Reply(w, http.StatusOK, l)
}

// maxValue bounds a value of a list.
const maxValue = 200

// putList replaces the values of a list.
func (s *Server) putList(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Decode[struct {
		Values []string `json:"values"`
		Why    string   `json:"why"`
	}](r)
	if err != nil {
		return err
	}
	var checks httpapi.Checks
	checks.Text("/why", body.Why, 1, maxWhy)
	if body.Values == nil {
		checks.Add("/values", "is missing")
	}
	for i, v := range body.Values {
		checks.Text("/values/"+strconv.Itoa(i), v, 1, maxValue)
	}
	if err := checks.Err(); err != nil {
		return err
	}
	_, known := s.findList(r)
	list := rulebook.List{Name: r.PathValue("name"), Values: body.Values}
	e, err := s.change(r, desk.Change{Change: rulebook.Change{List: &list, Why: body.Why}}, "/values")
	if err != nil {
		return err
	}
	return httpapi.Reply(w, status(!known), e)
}

func (s *Server) removeList(w http.ResponseWriter, r *http.Request) error {
	l, ok := s.findList(r)
	if !ok {
		return errNoList
	}
	return s.remove(w, r, rulebook.Change{RemoveList: l.Name})
}

func (s *Server) listSnoozes(w http.ResponseWriter, _ *http.Request) error {
	return httpapi.Reply(w, http.StatusOK, struct {
		Snoozes []rulebook.Snooze `json:"snoozes"`
	}{append([]rulebook.Snooze{}, look(s, (*deciding.Book).Snoozes)...)})
}

// snooze keeps a rule from counting for a card until a time, or ends that by a time that has passed.
func (s *Server) snooze(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Decode[struct {
		Rule string `json:"rule"`
		httpapi.Card
		Until time.Time `json:"until"`
		Why   string    `json:"why"`
	}](r)
	if err != nil {
		return err
	}
	var checks httpapi.Checks
	checks.Text("/why", body.Why, 1, maxWhy)
	checks.Text("/rule", body.Rule, 1, maxValue)
	card := body.Key(s.cfg.Ring, &checks)
	if body.Until.IsZero() {
		checks.Add("/until", "is missing: a snooze has an end")
	}
	if err := checks.Err(); err != nil {
		return err
	}
	snooze := rulebook.Snooze{Rule: body.Rule, Card: card, Until: body.Until.UTC()}
	e, err := s.change(r, desk.Change{Change: rulebook.Change{Snooze: &snooze, Why: body.Why}}, "/rule")
	if err != nil {
		return err
	}
	return httpapi.Reply(w, http.StatusCreated, e)
}
