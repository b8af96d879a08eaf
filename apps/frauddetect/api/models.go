package api

import (
	"encoding/json/jsontext"
	"net/http"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
)

func (s *Server) listModels(w http.ResponseWriter, _ *http.Request) error {
	all := struct {
		Models []modelView `json:"models"`
	}{[]modelView{}}
	for _, m := range look(s, (*deciding.Book).Models) {
		all.Models = append(all.Models, viewModel(m))
	}
	return httpapi.Reply(w, http.StatusOK, all)
}

func (s *Server) findModel(r *http.Request) (desk.Model, bool) {
	return named(look(s, (*deciding.Book).Models), r.PathValue("name"), func(m desk.Model) string { return m.Name })
}

var errNoModel = httpapi.NotFound("there is no such model: GET /v1/models lists them")

func (s *Server) showModel(w http.ResponseWriter, r *http.Request) error {
	m, ok := s.findModel(r)
	if !ok {
		return errNoModel
	}
	return httpapi.Reply(w, http.StatusOK, wholeModel{viewModel(m), m.File})
}

// modelBody is a version of a model as it is published.
type modelBody struct {
	File jsontext.Value `json:"file"`
	Mode rulebook.Mode  `json:"mode"` // shadow, if it is missing
	Text string         `json:"text"`
	// Version is the one that the client has seen, 0 for a new model; without it, whatever is there.
	Version *int   `json:"version"`
	Why     string `json:"why"`
}

// putModel publishes a version of a model.
func (s *Server) putModel(w http.ResponseWriter, r *http.Request) error {
	body, err := httpapi.Decode[modelBody](r)
	if err != nil {
		return err
	}
	if body.Mode == "" {
		body.Mode = rulebook.Shadow
	}
	if err := (modeChange{Mode: body.Mode, Why: body.Why}).check(); err != nil {
		return err
	}
	var checks httpapi.Checks
	checks.Text("/text", body.Text, 0, maxWhy)
	if len(body.File) == 0 {
		checks.Add("/file", "is missing")
	}
	if err := checks.Err(); err != nil {
		return err
	}
	now, known := s.findModel(r)
	if err := follows(body.Version, now.Version); err != nil {
		return err
	}
	return s.writeModel(w, r, desk.Model{
		Name: r.PathValue("name"), Version: now.Version + 1, Mode: body.Mode, File: body.File, Text: body.Text,
	}, body.Why, !known)
}

// setModelMode makes a model live, which makes the one before a shadow, or a shadow, or pauses it.
func (s *Server) setModelMode(w http.ResponseWriter, r *http.Request) error {
	m, ok := s.findModel(r)
	if !ok {
		return errNoModel
	}
	body, err := httpapi.Decode[modeChange](r)
	if err != nil {
		return err
	}
	if err := body.check(); err != nil {
		return err
	}
	if err := follows(body.Version, m.Version); err != nil {
		return err
	}
	m.Mode = body.Mode
	m.Version++
	return s.writeModel(w, r, m, body.Why, false)
}

// changedModel is a model with where it counts from.
type changedModel struct {
	Model modelView `json:"model"`
	effect
}

func (s *Server) writeModel(w http.ResponseWriter, r *http.Request, m desk.Model, why string, isNew bool) error {
	e, err := s.change(r, desk.Change{Change: rulebook.Change{Why: why}, Model: &m}, "/file")
	if err != nil {
		return err
	}
	return httpapi.Reply(w, status(isNew), changedModel{viewModel(m), e})
}

func (s *Server) removeModel(w http.ResponseWriter, r *http.Request) error {
	m, ok := s.findModel(r)
	if !ok {
		return errNoModel
	}
	why, err := reason(r)
	if err != nil {
		return err
	}
	e, err := s.change(r, desk.Change{Change: rulebook.Change{Why: why}, RemoveModel: m.Name}, "")
	if err != nil {
		return err
	}
	return httpapi.Reply(w, http.StatusOK, e)
}
