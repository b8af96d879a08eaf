package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/apptest"
	"github.com/riffle-stream/riffle/apps/internal/httpapi/openapitest"
	"github.com/riffle-stream/riffle/apps/internal/pan/pantest"
)

const (
	submitRoute   = "POST /v1/payments"
	decisionRoute = "GET /v1/decisions/{id}"
	cardsRoute    = "POST /v1/cards"
)

func TestDocument(t *testing.T) {
	t.Parallel()
	d := openapitest.Parse(t, openAPI)
	patterns := []string{"GET /v1/openapi.json", "GET /livez", "GET /readyz"}
	for _, r := range new(handlers).routes() {
		patterns = append(patterns, r.Pattern)
	}
	d.CheckRoutes(t, patterns)
	d.CheckExamples(t)
}

type fields map[string]any

// A payment is unique, then a duplicate of each kind; decisions outlive a kill; what is wrong is said; and no card number is anywhere
// afterwards.
func TestServe(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := apptest.Start(t, "dedup", dir, "serve", "--verbose")
	c := &openapitest.Client{Document: openapitest.Parse(t, openAPI), URL: server.URL, Token: server.Token}

	submit := func(want int, f fields) (v struct{ Request, Verdict, Action, Card, Shown string }) {
		t.Helper()
		answer := c.Do(t, submitRoute, "/v1/payments?wait=20s", f)
		if answer.Status != want {
			t.Fatalf("%v: status %d, want %d: %s", f, answer.Status, want, answer.Body)
		}
		if want == 200 {
			answer.Decode(t, &v)
		}
		return v
	}
	first := fields{"id": "a", "pan": planted[0], "terminal": "shop", "amount": 1200, "at": "2026-03-01T09:30:00Z"}
	var requests, verdicts []string
	for _, f := range []fields{
		first,
		first,
		{"id": "a", "pan": "4111 1111 1111 1111", "terminal": "shop", "amount": 1300, "at": "2026-03-01T09:30:00Z"},
		{"id": "b", "pan": planted[0], "terminal": "shop", "amount": 1200, "at": "2026-03-01T09:31:00Z"},
		{"id": "c", "card": "customer-7", "terminal": "shop", "amount": 1200, "at": "2026-03-01T09:31:00Z"},
	} {
		v := submit(200, f)
		requests, verdicts = append(requests, v.Request), append(verdicts, v.Verdict+"/"+v.Action)
		if f["pan"] != nil && (v.Shown != "411111******1111" || !strings.HasPrefix(v.Card, "card_")) {
			t.Errorf("the card is %q, shown as %q", v.Card, v.Shown)
		}
	}
	if want := "unique/pass exact/drop conflict/route double/tag unique/pass"; strings.Join(verdicts, " ") != want {
		t.Errorf("verdicts %v, want %s", verdicts, want)
	}
	var card struct{ Card, Shown string }
	c.Do(t, cardsRoute, "/v1/cards", fields{"pan": planted[1]}).Decode(t, &card)
	if !strings.HasPrefix(card.Card, "card_") || card.Shown != "555555******4444" {
		t.Errorf("a card number is shown as %+v", card)
	}

	for pointer, f := range map[string]fields{
		"/card":     {"id": "x", "card": planted[0], "terminal": "shop", "amount": 1},
		"/pan":      {"id": "x", "pan": planted[4], "terminal": "shop", "amount": 1},
		"/id":       {"id": "of card " + planted[2], "card": "1", "terminal": "shop", "amount": 1},
		"/terminal": {"id": "x", "card": "1", "amount": 1},
		"/amount":   {"id": "x", "card": "1", "terminal": "shop"},
		"/note":     {"id": "x", "card": "1", "terminal": "shop", "amount": 1, "note": planted[3]},
		"/at":       {"id": "x", "card": "1", "terminal": "shop", "amount": 1, "at": planted[3]},
	} {
		answer := c.Do(t, submitRoute, "/v1/payments", f)
		if answer.Status != 422 || !strings.Contains(string(answer.Body), fmt.Sprintf("%q:%q", "pointer", pointer)) {
			t.Errorf("%s: %d %s", pointer, answer.Status, answer.Body)
		}
	}
	c.Do(t, submitRoute, "/v1/payments", []byte(`{"pan": `+planted[1]+`, "id": "`+planted[1]))
	if answer := c.Do(t, decisionRoute, "/v1/decisions/"+planted[1], nil); answer.Status != 404 {
		t.Errorf("an unknown decision: status %d", answer.Status)
	}
	if answer := (&openapitest.Client{Document: c.Document, URL: c.URL}).Do(t, submitRoute, "/v1/payments", first); answer.Status != 401 {
		t.Errorf("without a token: status %d", answer.Status)
	}

	// A deadline that has passed at once: the decision is there later, also after a kill.
	answer := c.Do(t, submitRoute, "/v1/payments?wait=1ns", fields{"id": "late", "pan": planted[1], "terminal": "shop", "amount": 5})
	var problem struct{ ID string }
	if answer.Decode(t, &problem); answer.Status != 504 || answer.Header.Get("Location") != "/v1/decisions/"+problem.ID {
		t.Fatalf("after the deadline: %d %s", answer.Status, answer.Body)
	}
	for {
		answer := c.Do(t, decisionRoute, "/v1/decisions/"+problem.ID, nil)
		if answer.Status == 200 {
			break
		}
		if answer.Status != 202 {
			t.Fatalf("the decision after the deadline: %d %s", answer.Status, answer.Body)
		}
		select {
		case <-t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	c.Do(t, "GET /livez", "/livez", nil)
	c.Do(t, "GET /readyz", "/readyz", nil)
	c.Do(t, "GET /v1/openapi.json", "/v1/openapi.json", nil)
	c.CheckSeen(t)
	server.Kill()
	again := apptest.Start(t, "dedup", dir, "serve", "--verbose")
	if again.Token != server.Token {
		t.Error("after a restart there is another token")
	}
	c.URL = again.URL
	if v := submit(200, first); v.Verdict != "exact" {
		t.Errorf("after a kill the first payment is %s", v.Verdict)
	}
	for i, request := range append(requests, problem.ID) {
		var v struct{ Verdict string }
		answer := c.Do(t, decisionRoute, "/v1/decisions/"+request, nil)
		if answer.Decode(t, &v); answer.Status != 200 || i < len(verdicts) && !strings.HasPrefix(verdicts[i], v.Verdict+"/") {
			t.Errorf("after a kill, request %d: %d %s", i, answer.Status, answer.Body)
		}
	}
	again.Stop(t)

	scanner := pantest.New(planted...)
	leaks, read, err := scanner.Dir(dir)
	if err != nil || read == 0 {
		t.Fatalf("%d bytes are left, %v", read, err)
	}
	leaks = append(leaks, scanner.Bytes("the answers", c.Answers())...)
	leaks = append(leaks, scanner.Bytes("the log", []byte(server.Output()+again.Output()))...)
	for _, leak := range leaks {
		t.Error(leak)
	}
	if !strings.Contains(server.Output(), "route=\"POST /v1/payments\"") {
		t.Error("the log tells of no request: there was nothing to search")
	}
}
