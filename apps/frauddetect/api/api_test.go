package api

import (
	"context"
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/office"
	"github.com/riffle-stream/riffle/apps/internal/httpapi"
	"github.com/riffle-stream/riffle/apps/internal/httpapi/openapitest"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	d := openapitest.Parse(t, OpenAPI)
	patterns := []string{"GET /v1/openapi.json", "GET /livez", "GET /readyz"}
	for _, r := range new(Server).routes() {
		patterns = append(patterns, r.Pattern)
	}
	d.CheckRoutes(t, patterns)
	d.CheckExamples(t)
}

// What a client says again is the same; what it says otherwise is not.
func TestSubmission(t *testing.T) {
	t.Parallel()
	id := int64(7)
	whole := submission{ID: &id, Card: httpapi.Card{Card: "17"}, Terminal: "shop", Amount: jsontext.Value("12.5")}
	now := time.Date(2026, 3, 1, 9, 30, 0, 123456789, time.UTC)
	p, content, err := whole.payment(nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if p.Amount != 12_50 || !p.Time.Equal(now.Truncate(time.Millisecond)) {
		t.Errorf("the payment is %+v", p)
	}
	_, again, err := whole.payment(nil, now.Add(time.Second))
	if err != nil || string(again) != string(content) {
		t.Errorf("again, without a time, the content is %s, and was %s", again, content)
	}
	for name, change := range map[string]func(*submission){
		"card":     func(s *submission) { s.Card.Card = "18" },
		"terminal": func(s *submission) { s.Terminal = "other" },
		"amount":   func(s *submission) { s.Amount = jsontext.Value("12.51") },
		"time":     func(s *submission) { s.Time = now },
	} {
		other := whole
		change(&other)
		if _, content2, err := other.payment(nil, now); err != nil || string(content2) == string(content) {
			t.Errorf("with another %s the content is %s, %v", name, content2, err)
		}
	}
	_, _, err = submission{Amount: jsontext.Value("1e3"), Time: time.Unix(-1, 0)}.payment(nil, now)
	var problem *httpapi.Problem
	if !errors.As(err, &problem) {
		t.Fatalf("a submission of nothing: %v", err)
	}
	var pointers []string
	for _, e := range problem.Errors {
		pointers = append(pointers, e.Pointer)
	}
	if diff := cmp.Diff([]string{"/card", "/terminal", "/id", "/amount", "/time"}, pointers); diff != "" {
		t.Errorf("what is wrong (-want +got)\n%s", diff)
	}
}

// The place of a mistake in a condition is that of CEL.
func TestRefused(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("%w: rulebook: rule %q: condition: ERROR: <input>:1:10: undeclared reference to 'amont'\n | amount > amont\n | .........^\nERROR: <input>:2:3: more", office.ErrRefused, "r")
	var problem *httpapi.Problem
	if !errors.As(refused(err, "/condition"), &problem) {
		t.Fatal("no problem")
	}
	want := []httpapi.FieldError{
		{Pointer: "/condition", Detail: "undeclared reference to 'amont'", Line: 1, Column: 10},
		{Pointer: "/condition", Detail: "more", Line: 2, Column: 3},
	}
	if diff := cmp.Diff(want, problem.Errors); diff != "" {
		t.Errorf("errors (-want +got)\n%s", diff)
	}
	errors.As(refused(fmt.Errorf("%w: there is no list", office.ErrRefused), "/x"), &problem)
	if diff := cmp.Diff([]httpapi.FieldError{{Pointer: "/x", Detail: "there is no list"}}, problem.Errors); diff != "" {
		t.Errorf("errors (-want +got)\n%s", diff)
	}
}

func alertOf(id int, status desk.Status, version int) desk.Case {
	return desk.Case{Alert: desk.Alert{ID: fmt.Sprint(id)}, Status: status, Version: version}
}

func ids(cases []desk.Case) string {
	var list []string
	for _, c := range cases {
		list = append(list, c.ID)
	}
	return strings.Join(list, " ")
}

func TestBoard(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	for id := 1; id <= 5; id++ {
		b.put(alertOf(id, desk.Open, 1))
	}
	b.put(alertOf(2, desk.Confirmed, 2))
	b.put(alertOf(2, desk.Open, 1)) // read again
	all := func(*desk.Case) bool { return true }
	open := func(c *desk.Case) bool { return c.Status == desk.Open }
	page, more := b.List(all, "", 2)
	if got := ids(page); got != "5 4" || !more {
		t.Errorf("the first page: %s, more %v", got, more)
	}
	page, more = b.List(all, "4", 10)
	if got := ids(page); got != "3 2 1" || more {
		t.Errorf("behind it: %s, more %v", got, more)
	}
	page, more = b.List(open, "", 4)
	if got := ids(page); got != "5 4 3 1" || more {
		t.Errorf("those that are open: %s, more %v", got, more)
	}
	if c, ok := b.Get("2"); !ok || c.Status != desk.Confirmed {
		t.Errorf("the second: %+v, %v", c, ok)
	}
	if _, ok := b.Get("6"); ok {
		t.Error("there is one that never came")
	}
}

// What is closed gives way first.
func TestBoardIsBounded(t *testing.T) {
	t.Parallel()
	b := NewBoard()
	for id := range maxCases + 1 {
		status := desk.Open
		if id >= 100 && id < 200 {
			status = desk.Dismissed
		}
		b.put(alertOf(id, status, 1))
	}
	if n := len(b.mu.byID); n > maxCases || n != len(b.mu.order) {
		t.Errorf("%d cases are kept, in an order of %d", n, len(b.mu.order))
	}
	for id, want := range map[int]bool{0: false, 150: false, maxCases / 2: true, maxCases: true} {
		if _, ok := b.Get(fmt.Sprint(id)); ok != want {
			t.Errorf("alert %d is kept: %v, want %v", id, ok, want)
		}
	}
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBoard()
		b.put(alertOf(1, desk.Open, 1))
		go func() {
			time.Sleep(time.Second)
			b.put(alertOf(1, desk.Confirmed, 2))
		}()
		if c, err := b.Await(t.Context(), "1", 2); err != nil || c.Status != desk.Confirmed {
			t.Errorf("awaited %+v, %v", c, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.Await(ctx, "1", 3); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("what does not come: %v", err)
		}
	})
}
