package httpapi

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// Problem is why a request fails, as RFC 9457 writes it.
type Problem struct {
	// Type names the kind of problem; the rest of the URN is for programs.
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitzero"`
	// ID is that of the request to ask for later.
	ID string `json:"id,omitzero"`
	// Errors say what is wrong with which part of the body.
	Errors []FieldError `json:"errors,omitzero"`

	retryAfter time.Duration
}

// FieldError is what is wrong with a part of a body.
type FieldError struct {
	Pointer string `json:"pointer"` // RFC 6901
	Detail  string `json:"detail"`
	// Line and Column say where in a text, from 1, if that is known.
	Line   int `json:"line,omitzero"`
	Column int `json:"column,omitzero"`
}

func (p *Problem) Error() string { return fmt.Sprintf("%d %s: %s", p.Status, p.Title, p.Detail) }

// NewProblem makes a problem of a kind, such as not-found, with a detail for people.
func NewProblem(status int, kind, detail string, args ...any) *Problem {
	return &Problem{Type: "urn:riffle:problem:" + kind, Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(detail, args...)}
}

// NotFound is a 404.
func NotFound(detail string, args ...any) *Problem {
	return NewProblem(http.StatusNotFound, "not-found", detail, args...)
}

// Conflict is a 409.
func Conflict(detail string, args ...any) *Problem {
	return NewProblem(http.StatusConflict, "conflict", detail, args...)
}

// Invalid is a 422: the body can be read, and says what cannot be.
func Invalid(errs ...FieldError) *Problem {
	p := NewProblem(http.StatusUnprocessableEntity, "invalid", "the request cannot be carried out as it stands")
	p.Errors = errs
	return p
}

// Unavailable is a 503: to be tried again after a while.
func Unavailable(detail string, args ...any) *Problem {
	p := NewProblem(http.StatusServiceUnavailable, "unavailable", detail, args...)
	p.retryAfter = time.Second
	return p
}

// write answers with the problem. Card numbers that a client put in the wrong place do not come back.
func (p *Problem) write(w http.ResponseWriter) {
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	body, err := json.Marshal(p)
	if err != nil { // a detail that is no UTF-8
		body = []byte(`{"type":"about:blank","title":"` + p.Title + `","status":` + strconv.Itoa(p.Status) + `}`)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_, _ = w.Write(pan.Redact(body)) // the client has gone
}

// Reply answers with a value as JSON.
func Reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the client has gone
	return nil
}

// Decode reads the body of a request as JSON: the members of T and no others.
func Decode[T any](r *http.Request) (v T, err error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return v, NewProblem(http.StatusUnsupportedMediaType, "media-type", "the body is read as application/json: send it with that Content-Type")
	}
	body, err := io.ReadAll(r.Body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return v, NewProblem(http.StatusRequestEntityTooLarge, "too-large", "the body may have %d bytes", tooLarge.Limit)
	case err != nil:
		return v, NewProblem(http.StatusBadRequest, "body", "the body broke off")
	}
	if err := json.Unmarshal(body, &v, json.RejectUnknownMembers(true)); err != nil {
		return v, malformed(err)
	}
	return v, nil
}

// malformed says what is wrong with a body without quoting it.
func malformed(err error) *Problem {
	var syntactic *jsontext.SyntacticError
	var semantic *json.SemanticError
	switch {
	case errors.As(err, &syntactic):
		p := NewProblem(http.StatusBadRequest, "json", "the body is not JSON")
		p.Errors = []FieldError{{Pointer: string(syntactic.JSONPointer), Detail: fmt.Sprintf("at byte %d: %v", syntactic.ByteOffset, syntactic.Err)}}
		return p
	case errors.As(err, &semantic):
		return Invalid(FieldError{Pointer: string(semantic.JSONPointer), Detail: misfit(semantic)})
	}
	return NewProblem(http.StatusBadRequest, "json", "the body cannot be read")
}

// misfit says why a value does not fit. It quotes none: errors of other packages do, and a part of a card number is no longer redacted.
func misfit(err *json.SemanticError) string {
	var badTime *time.ParseError
	switch {
	case errors.Is(err, json.ErrUnknownName):
		return "there is no such member"
	case errors.Is(err, pan.ErrDigits):
		return pan.ErrDigits.Error()
	case errors.Is(err, pan.ErrCheckDigit):
		return pan.ErrCheckDigit.Error()
	case errors.As(err, &badTime):
		return "want a time such as 2026-03-01T09:30:00Z"
	case err.GoType == nil:
		return "does not fit"
	}
	t := err.GoType
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return "want a whole number"
	case reflect.Float64:
		return "want a number"
	case reflect.String:
		return "want a string"
	case reflect.Bool:
		return "want true or false"
	case reflect.Slice:
		return "want an array"
	}
	return "does not fit"
}
