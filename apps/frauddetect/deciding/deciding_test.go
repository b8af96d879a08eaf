package deciding

import (
	"encoding/json/jsontext"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

// change fills in who, when and why.
func change(c desk.Change) desk.Change {
	c.Who, c.At, c.Why = "ann", noon, "test"
	return c
}

func rule(name string, version int, condition string, action rulebook.Action) desk.Change {
	return change(desk.Change{Change: rulebook.Change{Rule: &rulebook.Rule{
		Name: name, Version: version, Condition: condition, Action: action, Mode: rulebook.Live,
	}}})
}

func publish(name string, version int, mode rulebook.Mode, file string) desk.Change {
	return change(desk.Change{Model: &desk.Model{Name: name, Version: version, Mode: mode, File: jsontext.Value(file)}})
}

// byAmount is a logistic regression of the amount alone, with the odds one at an amount of 100.
const byAmount = `{"features":["TX_AMOUNT"],"weights":[0.1],"bias":-10}`

func newBook(t interface{ Fatal(...any) }, changes ...desk.Change) *Book {
	b, err := New(rulebook.AllMatches)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if _, err := b.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func prepared(amount payment.Cents) *desk.Prepared {
	return &desk.Prepared{
		Row: features.Row{
			Transaction: payment.Transaction{ID: 7, Card: "a", Terminal: "t", Amount: amount, Time: noon},
			Counts: features.Counts{
				CardPayments: [3]int64{1, 2, 3}, CardCents: [3]int64{int64(amount), int64(amount) + 10_00, int64(amount) + 30_00},
				TerminalPayments: [3]int64{1, 2, 4}, TerminalFrauds: [3]int64{0, 1, 1},
			},
		},
		Partition: 3, Offset: 17, Verdict: duplicates.Double, First: 16,
		Velocity: desk.Velocity{CardPayments5m: 2, CardPayments1h: 3, CardCents1h: int64(amount) + 5_00, TerminalPayments10m: 9},
		Recent:   []desk.Recent{{Offset: 16, Time: noon.Add(-1500 * time.Millisecond), Amount: 5_00}},
		Frauds:   []desk.LabelPlace{{Partition: 1, Offset: 2}},
	}
}

var here = desk.Place{Topic: desk.Inputs.Name, Partition: 3, Offset: 20}

// A hit tells everything that led to it.
func TestExplanation(t *testing.T) {
	t.Parallel()
	b := newBook(t, publish("amount", 1, rulebook.Live, byAmount), publish("other", 1, rulebook.Shadow, `{"rules":[{"condition":"TX_AMOUNT > 1","score":0.25}]}`),
		rule("score", 1, "score > 0.9 && suspected_double > 0", rulebook.Block), rule("small", 1, "amount < 1", rulebook.Review))
	d, err := b.Decide(prepared(150_00), here)
	if err != nil {
		t.Fatal(err)
	}
	text, err := desk.Decisions.Value.Encode(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	value := jsontext.Value(text)
	if err := value.Indent(); err != nil {
		t.Fatal(err)
	}
	golden(t, "explanation.json", string(value)+"\n")
}

// Every variable has the value that its name says.
func TestVariables(t *testing.T) {
	t.Parallel()
	for _, condition := range []string{
		"id == '7' && card == 'a' && terminal == 't' && amount == 150.0 && time.getHours() == 12",
		"TX_AMOUNT == 150.0 && CUSTOMER_ID_NB_TX_7DAY_WINDOW == 2.0 && TERMINAL_ID_RISK_30DAY_WINDOW == 0.25",
		"score > 0.99 && score < 0.9934 && suspected_double > 0",
		"payments_5m == 2.0 && payments_1h == 3.0 && amount_1h == 155.0 && terminal_payments_10m == 9.0",
		"last_amount == 5.0 && last_seconds == 1.5",
	} {
		b := newBook(t, publish("amount", 1, rulebook.Live, byAmount), rule("r", 1, condition, rulebook.Review))
		d, err := b.Decide(prepared(150_00), here)
		if err != nil {
			t.Fatal(err)
		}
		if d.Action != rulebook.Review {
			t.Errorf("%s does not hold: %+v", condition, d.Results)
		}
	}
	b := newBook(t, rule("r", 1, "score == 0.0 && suspected_double == 0.0 && last_amount == 0.0 && last_seconds == 1e9", rulebook.Review))
	p := prepared(10_00)
	p.Verdict, p.Recent = duplicates.Unique, nil
	d, err := b.Decide(p, here)
	if err != nil || d.Action != rulebook.Review || d.Duplicate != nil {
		t.Errorf("without model, double and earlier payment: %+v, %v", d, err)
	}
}

// The live model gives way to the one that is published as live, and is its shadow from then on.
func TestModelsSwitch(t *testing.T) {
	t.Parallel()
	b := newBook(t, publish("a", 1, rulebook.Live, byAmount))
	modes := func() string {
		var all []string
		for _, m := range b.Models() {
			all = append(all, fmt.Sprintf("%s v%d %s", m.Name, m.Version, m.Mode))
		}
		return strings.Join(all, ", ")
	}
	apply := func(c desk.Change, want string) {
		t.Helper()
		if _, err := b.Apply(c); err != nil {
			t.Fatal(err)
		}
		if got := modes(); got != want {
			t.Errorf("models %s, want %s", got, want)
		}
	}
	apply(publish("b", 1, rulebook.Shadow, byAmount), "a v1 live, b v1 shadow")
	apply(publish("b", 2, rulebook.Live, byAmount), "b v2 live, a v1 shadow")
	apply(publish("b", 3, rulebook.Paused, byAmount), "a v1 shadow, b v3 paused")
	apply(change(desk.Change{RemoveModel: "a"}), "b v3 paused")
	for text, c := range map[string]desk.Change{
		"version 3 does not follow version 3": publish("b", 3, rulebook.Live, byAmount),
		`no model "a" to remove`:              change(desk.Change{RemoveModel: "a"}),
		`has none of "weights"`:               publish("c", 1, rulebook.Live, `{}`),
		`mode "on"`:                           publish("c", 1, "on", byAmount),
		"at most 900000":                      publish("c", 1, rulebook.Live, `{"weights":[1],"bias":0,"features":["TX_AMOUNT`+strings.Repeat(" ", 900_000)+`"]}`),
		"who made it":                         {Model: &desk.Model{Name: "c", Version: 1, Mode: rulebook.Live, File: jsontext.Value(byAmount)}},
		"several things":                      change(desk.Change{RemoveModel: "b", Change: rulebook.Change{RemoveRule: "x"}}),
	} {
		if _, err := b.Apply(c); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
		if got := modes(); got != "b v3 paused" || b.Revision() != 5 {
			t.Fatalf("a change that was refused has an effect: %s, revision %d", got, b.Revision())
		}
	}
}

// TestRestoreModel makes made-up changes, right and wrong ones, and keeps entries as Apply says: what is restored from them
// is the book that made the changes.
func TestRestoreModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t)
		kept := make(map[string]desk.Entry)
		for range rapid.IntRange(1, 30).Draw(t, "changes") {
			c := drawChange(t)
			entries, err := b.Apply(c)
			if err != nil {
				continue
			}
			for _, e := range entries {
				kept[e.Key()] = e
			}
			keys := b.Keys()
			for key := range kept {
				if !keys[key] {
					delete(kept, key)
				}
			}
		}
		var entries []desk.Entry
		for _, e := range kept { // in any order
			entries = append(entries, e)
		}
		again, err := Restore(rulebook.AllMatches, b.Revision(), entries)
		if err != nil {
			t.Fatal(err)
		}
		show := func(b *Book) string {
			d, err := b.Decide(prepared(150_00), here)
			return fmt.Sprintf("%d %+v %+v %+v %+v %+v %v", b.Revision(), b.Rules(), b.Lists(), b.Snoozes(), b.Models(), d.Results, err)
		}
		if diff := cmp.Diff(show(b), show(again)); diff != "" {
			t.Fatalf("restored (-want +got):\n%s", diff)
		}
	})
}

func drawChange(t *rapid.T) desk.Change {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name")
	version := rapid.IntRange(1, 4).Draw(t, "version")
	mode := rapid.SampledFrom([]rulebook.Mode{rulebook.Live, rulebook.Shadow, rulebook.Paused}).Draw(t, "mode")
	switch rapid.IntRange(0, 6).Draw(t, "kind") {
	case 0:
		c := rule(name, version, rapid.SampledFrom([]string{"card in lists.a", "amount > 1", "score > 0.5", "amount >"}).Draw(t, "condition"), rulebook.Block)
		c.Rule.Mode = mode
		return c
	case 1:
		return change(desk.Change{Change: rulebook.Change{RemoveRule: name}})
	case 2:
		return change(desk.Change{Change: rulebook.Change{List: &rulebook.List{Name: name, Values: []string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "value")}}}})
	case 3:
		return change(desk.Change{Change: rulebook.Change{RemoveList: name}})
	case 4:
		return change(desk.Change{Change: rulebook.Change{Snooze: &rulebook.Snooze{Rule: name, Card: "a", Until: noon.Add(time.Hour)}}})
	case 5:
		return publish(name, version, mode, byAmount)
	}
	return change(desk.Change{RemoveModel: name})
}
