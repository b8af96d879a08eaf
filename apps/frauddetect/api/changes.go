package api

import (
	"context"
	"encoding/json/jsontext"
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/office"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
)

// effect says where a change took effect.
type effect struct {
	Change string `json:"change"` // its id
	// Places are where it counts from, by partition of the topic decision-inputs.
	Places []place `json:"places"`
}

type place struct {
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	Revision  int64 `json:"revision"`
}

// background is a context with the values of a request that does not end with it.
func (s *Server) background(r *http.Request) context.Context {
	return context.WithoutCancel(r.Context())
}

// maxWhy bounds the reason of a change.
const maxWhy = 1000

// change makes a change in the name of who asks, and waits until it counts everywhere. What is wrong with it is a problem of the
// member that pointer names.
func (s *Server) change(r *http.Request, c desk.Change, pointer string) (effect, error) {
	c.Who = httpapi.User(r.Context())
	ctx, cancel, err := s.Wait(r)
	if err != nil {
		return effect{}, err
	}
	defer cancel()
	c, err = s.office.Change(s.background(r), c)
	switch {
	case errors.Is(err, office.ErrRefused):
		return effect{}, refused(err, pointer)
	case err != nil:
		return effect{}, err
	}
	applied, err := s.office.Wait(ctx, c.ID, s.cfg.Partitions)
	switch {
	case errors.Is(err, office.ErrRefused):
		// Somebody else was faster, and this office did not know it.
		return effect{}, errors.Join(httpapi.Conflict("somebody has changed it meanwhile: look at it again"), s.office.Reload(s.background(r)))
	case ctx.Err() != nil:
		p := httpapi.NewProblem(http.StatusGatewayTimeout, "pending", "the change is written, and has not taken effect everywhere yet")
		p.ID = c.ID
		return effect{}, p
	case err != nil:
		return effect{}, err
	}
	e := effect{Change: c.ID}
	for _, a := range applied {
		e.Places = append(e.Places, place{a.Partition, a.Offset, a.Revision})
	}
	return e, nil
}

// celError is how CEL says what is wrong with a condition, and where.
var celError = regexp.MustCompile(`ERROR: <input>:(\d+):(\d+): (.*)`)

// refused turns what is wrong with a change into a problem, with the place in the condition if that is what it is about.
func refused(err error, pointer string) error {
	found := celError.FindAllStringSubmatch(err.Error(), -1)
	if found == nil {
		return httpapi.Invalid(httpapi.FieldError{Pointer: pointer, Detail: strings.TrimPrefix(err.Error(), office.ErrRefused.Error()+": ")})
	}
	var errs []httpapi.FieldError
	for _, f := range found {
		line, _ := strconv.Atoi(f[1])
		column, _ := strconv.Atoi(f[2])
		errs = append(errs, httpapi.FieldError{Pointer: pointer, Detail: f[3], Line: line, Column: column})
	}
	return httpapi.Invalid(errs...)
}

// look reads from what is in force.
func look[T any](s *Server, f func(*deciding.Book) T) (v T) {
	s.office.Look(func(b *deciding.Book) { v = f(b) })
	return v
}

// named finds one of several by its name.
func named[T any](all []T, name string, nameOf func(T) string) (found T, ok bool) {
	i := slices.IndexFunc(all, func(v T) bool { return nameOf(v) == name })
	if i < 0 {
		return found, false
	}
	return all[i], true
}

// follows checks that a client has seen the present version, if it says which one it has seen.
func follows(seen *int, now int) error {
	if seen != nil && *seen != now {
		return httpapi.Conflict("the present version is %d, not %d: somebody has changed it meanwhile; look at it again", now, *seen)
	}
	return nil
}

// status is 201 for what is new.
func status(isNew bool) int {
	if isNew {
		return http.StatusCreated
	}
	return http.StatusOK
}

// mode is a body that changes nothing but the mode.
type modeChange struct {
	Mode    rulebook.Mode `json:"mode"`
	Version *int          `json:"version"`
	Why     string        `json:"why"`
}

func (m modeChange) check() error {
	var checks httpapi.Checks
	checks.Text("/why", m.Why, 1, maxWhy)
	if m.Mode != rulebook.Live && m.Mode != rulebook.Shadow && m.Mode != rulebook.Paused {
		checks.Add("/mode", "want live, shadow or paused")
	}
	return checks.Err()
}

// reason is the query parameter why of a request without a body.
func reason(r *http.Request) (string, error) {
	var checks httpapi.Checks
	why := r.URL.Query().Get("why")
	checks.Text("", why, 1, maxWhy)
	if checks.Err() != nil {
		return "", httpapi.NewProblem(http.StatusBadRequest, "query", "why: want a reason of at most %d bytes, without card numbers", maxWhy)
	}
	return why, nil
}

// How many changes a list has.
const (
	usualChanges = 100
	mostChanges  = 1000
)

// changeView is a change in the list: files of models are left out.
type changeView struct {
	ID   string    `json:"id"`
	Key  string    `json:"key"`
	Who  string    `json:"who"`
	At   time.Time `json:"at"`
	Why  string    `json:"why"`
	What what      `json:"what"`
}

type what struct {
	Rule    *rulebook.Rule   `json:"rule,omitzero"`
	List    *rulebook.List   `json:"list,omitzero"`
	Snooze  *rulebook.Snooze `json:"snooze,omitzero"`
	Model   *modelView       `json:"model,omitzero"`
	Removed bool             `json:"removed,omitzero"`
}

// listChanges tells who changed what, the latest first. A change that was overtaken long ago is compacted away.
func (s *Server) listChanges(w http.ResponseWriter, r *http.Request) error {
	limit := usualChanges
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > mostChanges {
			return httpapi.NewProblem(http.StatusBadRequest, "query", "limit: want a number from 1 to %d", mostChanges)
		}
		limit = n
	}
	list := struct {
		Changes []changeView `json:"changes"`
	}{[]changeView{}}
	for rec, err := range s.cfg.Cluster.ReadLast(r.Context(), desk.Changes, int64(limit)) {
		if err != nil {
			return err
		}
		c := rec.Value
		v := changeView{ID: c.ID, Key: c.Key(), Who: c.Who, At: c.At, Why: c.Why, What: what{
			Rule: c.Rule, List: c.List, Snooze: c.Snooze, Removed: c.RemoveRule != "" || c.RemoveList != "" || c.RemoveModel != "",
		}}
		if c.Model != nil {
			m := viewModel(*c.Model)
			v.What.Model = &m
		}
		list.Changes = append(list.Changes, v)
	}
	slices.Reverse(list.Changes)
	return httpapi.Reply(w, http.StatusOK, list)
}

// modelView is a model without its file.
type modelView struct {
	Name    string        `json:"name"`
	Version int           `json:"version"`
	Mode    rulebook.Mode `json:"mode"`
	Text    string        `json:"text,omitzero"`
	Bytes   int           `json:"bytes"`
}

func viewModel(m desk.Model) modelView {
	return modelView{m.Name, m.Version, m.Mode, m.Text, len(m.File)}
}

// wholeModel is a model with its file.
type wholeModel struct {
	modelView
	File jsontext.Value `json:"file"`
}
