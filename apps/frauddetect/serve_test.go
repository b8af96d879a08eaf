package main

import (
	"encoding/json/jsontext"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/api"
	"github.com/riffle-stream/riffle/apps/internal/apptest"
	"github.com/riffle-stream/riffle/apps/internal/httpapi/openapitest"
	"github.com/riffle-stream/riffle/apps/internal/pan/pantest"
)

type fields map[string]any

// deskClient is a client of a fraud desk that checks each exchange against the OpenAPI document.
type deskClient struct {
	*openapitest.Client
	t testing.TB
}

// ask sends a request, wants a status, and returns the answer.
func (c deskClient) ask(want int, pattern, path string, body any) openapitest.Answer {
	c.t.Helper()
	answer := c.Do(c.t, pattern, path, body)
	if answer.Status != want {
		c.t.Fatalf("%s %s: status %d, want %d: %s", pattern, path, answer.Status, want, answer.Body)
	}
	return answer
}

type decisionAnswer struct {
	Payment int64
	Card    string
	Shown   string
	Action  string
	Score   float64
	Scores  []struct {
		Model string
		Score float64
	}
	Results   []struct{ Rule, Outcome, Mode string }
	Duplicate *struct{ Verdict string }
}

func (d decisionAnswer) hits() string {
	var hits []string
	for _, r := range d.Results {
		hits = append(hits, r.Rule+":"+r.Mode+":"+r.Outcome)
	}
	return strings.Join(hits, " ")
}

func (c deskClient) pay(id int64, card string, amount float64) (d decisionAnswer) {
	c.t.Helper()
	c.ask(200, "POST /v1/payments", "/v1/payments?wait=20s", fields{"id": id, "card": card, "terminal": "shop", "amount": amount}).Decode(c.t, &d)
	return d
}

// The whole day of a fraud desk over HTTP: payments are decided, rules and lists change, alerts are worked on, models are published and
// switched. After a kill all of it is there, and nowhere is a card number.
func TestServe(t *testing.T) {
	t.Parallel()
	dir, metrics := t.TempDir(), apptest.FreeAddr(t)
	server := apptest.Start(t, "frauddetect", dir, "serve", "--partitions", "2", "--verbose", "--metrics-addr", metrics)
	c := deskClient{&openapitest.Client{Document: openapitest.Parse(t, api.OpenAPI), URL: server.URL, Token: server.Token}, t}

	t.Run("rules", func(t *testing.T) { rulesOverHTTP(deskClient{c.Client, t}) })
	t.Run("payments", func(t *testing.T) { paymentsOverHTTP(deskClient{c.Client, t}) })
	t.Run("alerts", func(t *testing.T) { alertsOverHTTP(deskClient{c.Client, t}) })
	t.Run("models", func(t *testing.T) { modelsOverHTTP(deskClient{c.Client, t}) })
	t.Run("mistakes", func(t *testing.T) { mistakesOverHTTP(deskClient{c.Client, t}) })
	c.ask(200, "GET /livez", "/livez", nil)
	c.ask(200, "GET /readyz", "/readyz", nil)
	c.ask(200, "GET /v1/openapi.json", "/v1/openapi.json", nil)
	page := (&openapitest.Client{URL: "http://" + metrics}).Get(t, "/metrics")
	if !strings.Contains(string(page), `riffle_http_request_seconds_count{code="200",route="POST /v1/payments"}`) {
		t.Error("the metrics tell of no request")
	}

	server.Kill()
	again := apptest.Start(t, "frauddetect", dir, "serve", "--partitions", "2", "--verbose")
	c.URL = again.URL
	var d decisionAnswer
	c.ask(200, "GET /v1/decisions/{id}", "/v1/decisions/1", nil).Decode(t, &d)
	if d.Payment != 1 || d.Action != "block" {
		t.Errorf("after a kill the first decision is %+v", d)
	}
	if d := c.pay(1, "17", 300); d.Action != "block" || d.Duplicate != nil {
		t.Errorf("after a kill the first payment, submitted again, has the decision %+v", d)
	}
	var rules struct{ Rules []struct{ Name, Mode string } }
	c.ask(200, "GET /v1/rules", "/v1/rules", nil).Decode(t, &rules)
	if len(rules.Rules) == 0 || strings.Contains(fmt.Sprint(rules.Rules), "too-much") {
		t.Errorf("after a kill the rules are %v", rules.Rules)
	}
	c.CheckSeen(t)
	again.Stop(t)

	scanner := pantest.New(planted...)
	leaks, read, err := scanner.Dir(dir)
	if err != nil || read == 0 {
		t.Fatalf("%d bytes are left, %v", read, err)
	}
	leaks = append(leaks, scanner.Bytes("the answers", c.Answers())...)
	leaks = append(leaks, scanner.Bytes("the metrics", page)...)
	leaks = append(leaks, scanner.Bytes("the log", []byte(server.Output()+again.Output()))...)
	for _, leak := range leaks {
		t.Error(leak)
	}
	if !strings.Contains(server.Output(), `route="PUT /v1/rules/{name}"`) {
		t.Error("the log tells of no request: there was nothing to search")
	}
}

func rulesOverHTTP(c deskClient) {
	const rule, rules = "/v1/rules/too-much", "PUT /v1/rules/{name}"
	if d := c.pay(1, "17", 300); d.Action != "block" || !strings.Contains(d.hits(), "amount-above-limit:live:hit") {
		c.t.Errorf("a large payment: %+v", d)
	}
	put := fields{"condition": "amount > 100.0", "action": "block", "order": 1, "why": "a test"}
	var changed struct {
		Rule   struct{ Version int }
		Change string
		Places []struct{ Partition, Offset int64 }
	}
	c.ask(201, rules, rule+"?wait=20s", put).Decode(c.t, &changed)
	if changed.Rule.Version != 1 || len(changed.Places) != 2 || changed.Change == "" {
		c.t.Errorf("a new rule: %+v", changed)
	}
	if d := c.pay(2, "17", 150); d.Action != "block" || !strings.Contains(d.hits(), "too-much:live:hit") {
		c.t.Errorf("under the new rule: %+v", d)
	}
	put["condition"], put["version"] = "amount > 1000.0", 1
	c.ask(200, rules, rule+"?wait=20s", put).Decode(c.t, &changed)
	c.ask(409, rules, rule, put) // it is of version 2 now
	if d := c.pay(3, "17", 155); d.Action != "approve" || d.hits() != "" {
		c.t.Errorf("under its second version: %+v", d)
	}
	mode := "PATCH /v1/rules/{name}"
	c.ask(200, mode, rule+"?wait=20s", fields{"mode": "shadow", "why": "a test"})
	if d := c.pay(4, "18", 2000); !strings.Contains(d.hits(), "too-much:shadow:hit") {
		c.t.Errorf("with the rule as a shadow: %+v", d)
	}
	c.ask(200, mode, rule+"?wait=20s", fields{"mode": "paused", "version": 3, "why": "a test"})
	c.ask(409, mode, rule, fields{"mode": "live", "version": 3, "why": "a test"})
	if d := c.pay(5, "19", 2000); strings.Contains(d.hits(), "too-much") {
		c.t.Errorf("with the rule paused: %+v", d)
	}
	c.ask(200, "GET /v1/rules/{name}", rule, nil)

	c.ask(201, "PUT /v1/lists/{name}", "/v1/lists/friends?wait=20s", fields{"values": []string{"20"}, "why": "a test"})
	c.ask(201, rules, "/v1/rules/no-friend?wait=20s", fields{"condition": "!(card in lists.friends) && amount > 50.0", "action": "block", "why": "a test"})
	if friend, other := c.pay(6, "20", 60), c.pay(7, "21", 60); friend.Action != "approve" || other.Action != "block" {
		c.t.Errorf("a friend: %+v, another: %+v", friend, other)
	}
	c.ask(201, "POST /v1/snoozes", "/v1/snoozes?wait=20s", fields{"rule": "no-friend", "card": "21", "until": time.Now().Add(time.Hour), "why": "a test"})
	if d := c.pay(8, "21", 61); d.Action != "approve" || !strings.Contains(d.hits(), "no-friend:live:snoozed") {
		c.t.Errorf("snoozed: %+v", d)
	}
	c.ask(422, "DELETE /v1/lists/{name}", "/v1/lists/friends?why=test", nil) // a rule names it
	c.ask(200, "DELETE /v1/rules/{name}", "/v1/rules/no-friend?why=test&wait=20s", nil)
	c.ask(200, "PUT /v1/lists/{name}", "/v1/lists/friends?wait=20s", fields{"values": []string{}, "why": "a test"})
	c.ask(200, "GET /v1/lists/{name}", "/v1/lists/friends", nil)
	c.ask(200, "DELETE /v1/lists/{name}", "/v1/lists/friends?why=test&wait=20s", nil)
	c.ask(200, "DELETE /v1/rules/{name}", rule+"?why=test&wait=20s", nil)
	c.ask(404, "GET /v1/rules/{name}", rule, nil)
	c.ask(200, "GET /v1/lists", "/v1/lists", nil)
	c.ask(200, "GET /v1/snoozes", "/v1/snoozes", nil)
	var log struct {
		Changes []struct{ Key, Who, Why string }
	}
	c.ask(200, "GET /v1/changes", "/v1/changes?limit=3", nil).Decode(c.t, &log)
	if len(log.Changes) != 3 || log.Changes[0].Key != "rule/too-much" || log.Changes[0].Who != "admin" || log.Changes[0].Why != "test" {
		c.t.Errorf("the last changes: %+v", log.Changes)
	}
}

func paymentsOverHTTP(c deskClient) {
	const route = "POST /v1/payments"
	first := fields{"id": 100, "pan": planted[0], "terminal": "shop", "amount": 312.5}
	var d, again decisionAnswer
	c.ask(200, route, "/v1/payments?wait=20s", first).Decode(c.t, &d)
	if d.Action != "block" || d.Shown != "411111******1111" || !strings.HasPrefix(d.Card, "card_") {
		c.t.Errorf("a payment by card number: %+v", d)
	}
	c.ask(200, route, "/v1/payments?wait=20s", first).Decode(c.t, &again)
	if again.Duplicate != nil || again.Action != "block" {
		c.t.Errorf("submitted again: %+v", again)
	}
	c.ask(409, route, "/v1/payments?wait=20s", fields{"id": 100, "pan": planted[0], "terminal": "shop", "amount": 312.6})
	double := fields{"id": 101, "pan": planted[0], "terminal": "shop", "amount": 312.5}
	c.ask(200, route, "/v1/payments?wait=20s", double).Decode(c.t, &d)
	if d.Duplicate == nil || d.Duplicate.Verdict != "double" || !strings.Contains(d.hits(), "double-charge:live:hit") {
		c.t.Errorf("made again: %+v", d)
	}
	var card struct{ Card string }
	c.ask(200, "POST /v1/cards", "/v1/cards", fields{"pan": planted[0]}).Decode(c.t, &card)
	if card.Card != d.Card {
		c.t.Errorf("the card's token is %s, and its payment's %s", card.Card, d.Card)
	}

	// A deadline that has passed at once: the decision is there later.
	answer := c.ask(504, route, "/v1/payments?wait=1ns", fields{"id": 102, "pan": planted[1], "terminal": "shop", "amount": 5})
	if at := answer.Header.Get("Location"); at != "/v1/decisions/102" {
		c.t.Errorf("the decision is said to be at %q", at)
	}
	for {
		answer := c.Do(c.t, "GET /v1/decisions/{id}", "/v1/decisions/102", nil)
		if answer.Status == 200 {
			break
		}
		if answer.Status != 202 {
			c.t.Fatalf("the decision after the deadline: %d %s", answer.Status, answer.Body)
		}
		select {
		case <-c.t.Context().Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func alertsOverHTTP(c deskClient) {
	type alert struct {
		ID, Card, Status, Assignee, Note, Who string
		Payment                               int64
		Version                               int
	}
	var list struct {
		Alerts []alert
		Next   string
	}
	// The last decision that is an alert: it may take a moment until it shows.
	for len(list.Alerts) == 0 || list.Alerts[0].Payment != 101 {
		c.ask(200, "GET /v1/alerts", "/v1/alerts?status=open&rule=amount-above-limit&limit=1", nil).Decode(c.t, &list)
		select {
		case <-c.t.Context().Done():
			c.t.Fatalf("the alert does not come: %+v", list)
		case <-time.After(5 * time.Millisecond):
		}
	}
	one := list.Alerts[0]
	at := "/v1/alerts/" + one.ID
	const show, change = "GET /v1/alerts/{id}", "PATCH /v1/alerts/{id}"
	c.ask(200, show, at, nil)
	var changed alert
	c.ask(200, change, at+"?wait=20s", fields{"assignee": "bert", "note": "ask the holder"}).Decode(c.t, &changed)
	if changed.Assignee != "bert" || changed.Note != "ask the holder" || changed.Status != "open" || changed.Version != 2 || changed.Who != "admin" {
		c.t.Errorf("given to somebody: %+v", changed)
	}
	c.ask(409, change, at, fields{"status": "confirmed", "version": 1})
	c.ask(200, change, at+"?wait=20s", fields{"status": "confirmed", "version": 2}).Decode(c.t, &changed)
	if changed.Status != "confirmed" || changed.Note != "ask the holder" {
		c.t.Errorf("confirmed: %+v", changed)
	}
	list.Next = ""
	c.ask(200, "GET /v1/alerts", "/v1/alerts?status=confirmed&assignee=bert&card="+one.Card, nil).Decode(c.t, &list)
	if len(list.Alerts) != 1 || list.Alerts[0].ID != one.ID || list.Next != "" {
		c.t.Errorf("what is confirmed: %+v", list)
	}
	var whole int
	for after := ""; ; after = list.Next {
		list.Next = ""
		c.ask(200, "GET /v1/alerts", "/v1/alerts?limit=2&after="+after, nil).Decode(c.t, &list)
		whole += len(list.Alerts)
		if list.Next == "" {
			break
		}
	}
	var once struct{ Alerts []alert }
	c.ask(200, "GET /v1/alerts", "/v1/alerts", nil).Decode(c.t, &once)
	if whole != len(once.Alerts) || whole < 4 {
		c.t.Errorf("page by page there are %d alerts, at once %d", whole, len(once.Alerts))
	}
	c.ask(404, show, "/v1/alerts/9-999999", nil)
	c.ask(422, change, at, fields{"status": "closed"})
	c.ask(422, change, at, fields{})
	c.ask(422, change, at, fields{"note": "the card is " + planted[2]})
	c.ask(400, "GET /v1/alerts", "/v1/alerts?limit=0", nil)
	c.ask(400, "GET /v1/alerts", "/v1/alerts?after=9-999999", nil)
}

func modelsOverHTTP(c deskClient) {
	file, err := os.ReadFile("scoring/models/model_logistic.json")
	if err != nil {
		c.t.Fatal(err)
	}
	const publish, set = "PUT /v1/models/{name}", "PATCH /v1/models/{name}"
	body := fields{"file": jsontext.Value(file), "text": "as shipped", "why": "a test"}
	var changed struct {
		Model struct {
			Version int
			Mode    string
		}
	}
	c.ask(201, publish, "/v1/models/weights?wait=20s", body).Decode(c.t, &changed)
	if changed.Model.Version != 1 || changed.Model.Mode != "shadow" {
		c.t.Errorf("published: %+v", changed)
	}
	if d := c.pay(200, "30", 10); len(d.Scores) != 3 || d.Scores[0].Model != "trees" || d.Score != d.Scores[0].Score {
		c.t.Errorf("with another shadow the scores are %+v", d)
	}
	c.ask(200, set, "/v1/models/weights?wait=20s", fields{"mode": "live", "version": 1, "why": "a test"})
	if d := c.pay(201, "31", 10); d.Scores[0].Model != "weights" || d.Score != d.Scores[0].Score {
		c.t.Errorf("with another live model the scores are %+v", d)
	}
	body["mode"] = "live"
	c.ask(201, publish, "/v1/models/other?wait=20s", body)
	var list struct{ Models []struct{ Name, Mode string } }
	c.ask(200, "GET /v1/models", "/v1/models", nil).Decode(c.t, &list)
	if got := fmt.Sprint(list.Models); got != "[{other live} {logistic shadow} {trees shadow} {weights shadow}]" {
		c.t.Errorf("models %s", got)
	}
	c.ask(200, "GET /v1/models/{name}", "/v1/models/weights", nil)
	c.ask(200, "DELETE /v1/models/{name}", "/v1/models/other?why=test&wait=20s", nil)
	c.ask(404, "GET /v1/models/{name}", "/v1/models/other", nil)
	c.ask(422, publish, "/v1/models/weights", fields{"file": fields{"nothing": 1}, "why": "a test"})
	c.ask(409, publish, "/v1/models/weights", fields{"file": jsontext.Value(file), "version": 1, "why": "a test"})
}

func mistakesOverHTTP(c deskClient) {
	answer := c.ask(422, "PUT /v1/rules/{name}", "/v1/rules/wrong", fields{"condition": "amount > 1.0 &&\n  amont < 2.0", "action": "block", "why": "a test"})
	if text := string(answer.Body); !strings.Contains(text, `"pointer":"/condition"`) || !strings.Contains(text, `"line":2,"column":3`) {
		c.t.Errorf("a condition with a mistake: %s", text)
	}
	for pointer, body := range map[string]fields{
		"/condition": {"condition": "terminal == '" + planted[1] + "'", "action": "block", "why": "a test"},
		"/why":       {"condition": "amount > 1.0", "action": "block"},
		"/action":    {"condition": "amount > 1.0", "action": "explode", "why": "a test"},
		"/mode":      {"condition": "amount > 1.0", "action": "block", "mode": "loud", "why": "a test"},
	} {
		answer := c.ask(422, "PUT /v1/rules/{name}", "/v1/rules/wrong", body)
		if !strings.Contains(string(answer.Body), `"pointer":"`+pointer+`"`) {
			c.t.Errorf("%s: %s", pointer, answer.Body)
		}
	}
	for pointer, body := range map[string]fields{
		"/card":     {"id": 1000, "card": planted[0], "terminal": "shop", "amount": 1},
		"/pan":      {"id": 1000, "pan": planted[4], "terminal": "shop", "amount": 1},
		"/terminal": {"id": 1000, "card": "1", "terminal": planted[3], "amount": 1},
		"/amount":   {"id": 1000, "card": "1", "terminal": "shop", "amount": 1.005},
		"/id":       {"card": "1", "terminal": "shop", "amount": 1},
		"/cvv":      {"id": 1000, "card": "1", "terminal": "shop", "amount": 1, "cvv": "123"},
	} {
		answer := c.ask(422, "POST /v1/payments", "/v1/payments", body)
		if !strings.Contains(string(answer.Body), `"pointer":"`+pointer+`"`) {
			c.t.Errorf("%s: %s", pointer, answer.Body)
		}
	}
	c.ask(422, "PUT /v1/lists/{name}", "/v1/lists/wrong", fields{"values": []string{planted[2]}, "why": "a test"})
	c.ask(422, "POST /v1/snoozes", "/v1/snoozes", fields{"rule": "no-such-rule", "card": "1", "until": "2026-04-01T00:00:00Z", "why": "a test"})
	c.ask(400, "DELETE /v1/rules/{name}", "/v1/rules/amount-above-limit", nil)
	c.ask(404, "GET /v1/decisions/{id}", "/v1/decisions/"+planted[0], nil)
	nobody := deskClient{&openapitest.Client{Document: c.Document, URL: c.URL}, c.t}
	nobody.ask(401, "GET /v1/alerts", "/v1/alerts", nil)
}
