package rulebook_test

import (
	"encoding/json/v2"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func newSchema(t testing.TB) *rulebook.Schema {
	t.Helper()
	s, err := rulebook.NewSchema("count_1d", "mean_30d")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestScripts makes changes and decides on payments. Commands:
//
//	new [first-match]
//	change           a change as JSON; who, at and why are filled in
//	decide           a line for each payment: CARD AMOUNT [count=N] [mean=N] [at=HH:MM]
//	show             the rules, lists and the revision
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var b *rulebook.Book
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			switch td.Cmd {
			case "new":
				matching := rulebook.AllMatches
				if td.HasArg("first-match") {
					matching = rulebook.FirstMatch
				}
				b = rulebook.New(newSchema(t), matching)
			case "change":
				var c rulebook.Change
				if err := json.Unmarshal([]byte(td.Input), &c); err != nil {
					t.Fatalf("%s: %v", td.Pos, err)
				}
				c.Who, c.At, c.Why = "anna", noon, "test"
				checked := b.Check(c)
				err := b.Apply(c)
				if fmt.Sprint(checked) != fmt.Sprint(err) {
					t.Errorf("%s: Check says %v, Apply %v", td.Pos, checked, err)
				}
				if err != nil {
					return err.Error() + "\n"
				}
			case "decide":
				var out strings.Builder
				for line := range strings.Lines(td.Input) {
					decide(t, &out, b, strings.Fields(line))
				}
				return out.String()
			case "show":
				return show(b)
			default:
				t.Fatalf("%s: no command %s", td.Pos, td.Cmd)
			}
			return ""
		})
	})
}

func decide(t *testing.T, out *strings.Builder, b *rulebook.Book, words []string) {
	t.Helper()
	p := rulebook.Payment{ID: "p", Card: words[0], Terminal: "shop", Time: noon, Features: make([]float64, 2)}
	p.Amount = number(t, words[1])
	for _, w := range words[2:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "count":
			p.Features[0] = number(t, value)
		case "mean":
			p.Features[1] = number(t, value)
		case "at":
			at, err := time.Parse("15:04", value)
			if err != nil {
				t.Fatal(err)
			}
			p.Time = noon.Truncate(24 * time.Hour).Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
		default:
			t.Fatalf("no field %s", name)
		}
	}
	d, err := b.Decide(p)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(out, "%s: %s\n", strings.Join(words, " "), d.Action)
	for _, r := range d.Results {
		fmt.Fprintf(out, "  %s v%d %s %s: %s", r.Rule, r.Version, r.Mode, r.Action, r.Outcome)
		if r.Error != "" {
			fmt.Fprintf(out, ": %s", r.Error)
		}
		fmt.Fprintln(out)
		for _, v := range r.Values {
			fmt.Fprintf(out, "    %s = %s\n", v.Expression, v.Value)
		}
	}
}

func number(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func show(b *rulebook.Book) string {
	var out strings.Builder
	fmt.Fprintf(&out, "revision %d\n", b.Revision())
	for _, r := range b.Rules() {
		fmt.Fprintf(&out, "rule %s v%d %s %s: %s\n", r.Name, r.Version, r.Mode, r.Action, r.Condition)
	}
	for _, l := range b.Lists() {
		fmt.Fprintf(&out, "list %s: %s\n", l.Name, strings.Join(l.Values, " "))
	}
	return out.String()
}

func change(c rulebook.Change) rulebook.Change {
	c.Who, c.At, c.Why = "anna", noon, "test"
	return c
}

func rule(name, condition string, version int) rulebook.Change {
	return change(rulebook.Change{Rule: &rulebook.Rule{
		Name: name, Version: version, Condition: condition, Action: rulebook.Review, Mode: rulebook.Live,
	}})
}

// TestRefused has a row for each thing that a person may enter and that must not get in.
func TestRefused(t *testing.T) {
	t.Parallel()
	b := rulebook.New(newSchema(t), rulebook.AllMatches)
	for _, c := range []rulebook.Change{
		change(rulebook.Change{List: &rulebook.List{Name: "used", Values: []string{"7"}}}),
		rule("known", "card in lists.used", 1),
	} {
		if err := b.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	mode := rule("mode", "true", 1)
	mode.Rule.Mode = "loud"
	action := rule("action", "true", 1)
	action.Rule.Action = "arrest"
	nobody := rule("nobody", "true", 1)
	nobody.Who = ""
	two := rule("two", "true", 1)
	two.RemoveRule = "known"
	nested := strings.Repeat("lists.used.exists(a, ", 4) + "true" + strings.Repeat(")", 4)
	tests := map[string]struct {
		change rulebook.Change
		want   string
	}{
		"syntax":           {rule("r", "amount >", 1), "Syntax error"},
		"unknown name":     {rule("r", "amuont > 1.0", 1), "undeclared reference to 'amuont'"},
		"types":            {rule("r", `amount > "1"`, 1), "no matching overload"},
		"not a condition":  {rule("r", "amount + 1.0", 1), "it yields double: want true or false"},
		"cost":             {rule("r", nested, 1), "it may cost"},
		"empty":            {rule("r", " ", 1), "no condition"},
		"too long":         {rule("r", strings.Repeat("true && ", 600)+"true", 1), "want at most 4096"},
		"name":             {rule("a rule", "true", 1), `rule name "a rule"`},
		"mode":             {mode, `mode "loud": want live, shadow or paused`},
		"action":           {action, `action "arrest": want approve, review or block`},
		"nobody":           {nobody, "must say who made it, and when"},
		"two things":       {two, "a change of 2 things"},
		"nothing":          {change(rulebook.Change{}), "a change of 0 things"},
		"lost update":      {rule("known", "true", 1), "version 1 does not follow version 1"},
		"a version ahead":  {rule("r", "true", 2), "version 2 does not follow version 0"},
		"unknown list":     {rule("r", "card in lists.nowhere", 1), `there is no list "nowhere"`},
		"list by index":    {rule("r", `card in lists["nowhere"]`, 1), `there is no list "nowhere"`},
		"list in use":      {change(rulebook.Change{RemoveList: "used"}), `list "used" is used by rule "known"`},
		"list name":        {change(rulebook.Change{List: &rulebook.List{Name: "a-b"}}), `list name "a-b"`},
		"remove no rule":   {change(rulebook.Change{RemoveRule: "r"}), `there is no rule "r" to remove`},
		"remove no list":   {change(rulebook.Change{RemoveList: "l"}), `there is no list "l" to remove`},
		"snooze no rule":   {change(rulebook.Change{Snooze: &rulebook.Snooze{Rule: "r", Card: "1", Until: noon}}), `there is no rule "r" to snooze`},
		"snooze for ever":  {change(rulebook.Change{Snooze: &rulebook.Snooze{Rule: "known", Card: "1"}}), "no end"},
		"snooze for all":   {change(rulebook.Change{Snooze: &rulebook.Snooze{Rule: "known", Until: noon}}), "no card"},
		"regular explodes": {rule("r", `card.matches("(a{1000}){1000}")`, 1), ""},
	}
	before := show(b)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			err := b.Apply(tt.change)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Apply = %v, want an error with %q", err, tt.want)
			}
			if after := show(b); after != before {
				t.Errorf("the book has changed:\n%s", after)
			}
		})
	}
}

// TestLongInput: a condition that is cheap for usual payments ends at one that is not.
func TestLongInput(t *testing.T) {
	t.Parallel()
	b := rulebook.New(newSchema(t), rulebook.AllMatches)
	if err := b.Apply(rule("pattern", `terminal.matches(".*x.*y.*z")`, 1)); err != nil {
		t.Fatal(err)
	}
	p := rulebook.Payment{ID: "p", Card: "1", Terminal: "axbycz", Time: noon, Features: []float64{0, 0}}
	if d, err := b.Decide(p); err != nil || d.Action != rulebook.Review {
		t.Errorf("Decide = %+v, %v, want a hit", d, err)
	}
	p.Terminal = strings.Repeat("xy", 500_000)
	d, err := b.Decide(p)
	if err != nil || len(d.Results) != 1 || d.Results[0].Outcome != rulebook.Failed || !strings.Contains(d.Results[0].Error, "cost limit exceeded") {
		t.Errorf("Decide on a terminal of a megabyte = %+v, %v, want an error about its cost", d, err)
	}
}

func TestSchemaRefuses(t *testing.T) {
	t.Parallel()
	for _, features := range [][]string{{"amount"}, {"a", "a"}, {"a b"}, {""}} {
		if _, err := rulebook.NewSchema(features...); err == nil {
			t.Errorf("NewSchema(%q) succeeds", features)
		}
	}
	b := rulebook.New(newSchema(t), rulebook.AllMatches)
	if _, err := b.Decide(rulebook.Payment{ID: "p"}); err == nil || !strings.Contains(err.Error(), "payment p has 0 features, the schema 2") {
		t.Errorf("a payment without features: %v", err)
	}
}

// TestOrderOfEntry: what decides is which rules there are, not the order in which they were entered.
func TestOrderOfEntry(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		actions := []rulebook.Action{rulebook.Approve, rulebook.Review, rulebook.Block}
		modes := []rulebook.Mode{rulebook.Live, rulebook.Shadow, rulebook.Paused}
		var rules []rulebook.Rule
		for i := range rapid.IntRange(0, 6).Draw(t, "rules") {
			rules = append(rules, rulebook.Rule{
				Name: fmt.Sprintf("r%d", i), Version: 1, Order: rapid.IntRange(0, 2).Draw(t, "order"),
				Condition: fmt.Sprintf("amount > %d", rapid.IntRange(0, 3).Draw(t, "limit")),
				Action:    rapid.SampledFrom(actions).Draw(t, "action"), Mode: rapid.SampledFrom(modes).Draw(t, "mode"),
			})
		}
		matching := rapid.SampledFrom([]rulebook.Matching{rulebook.AllMatches, rulebook.FirstMatch}).Draw(t, "matching")
		p := rulebook.Payment{ID: "p", Card: "1", Amount: float64(rapid.IntRange(0, 4).Draw(t, "amount")), Time: noon, Features: []float64{0, 0}}
		want := model(rules, matching, p.Amount)
		b := rulebook.New(schema, matching)
		for _, r := range rapid.Permutation(rules).Draw(t, "entered") {
			if err := b.Apply(change(rulebook.Change{Rule: &r})); err != nil {
				t.Fatal(err)
			}
		}
		d, err := b.Decide(p)
		if err != nil {
			t.Fatal(err)
		}
		got := string(d.Action)
		for _, r := range d.Results {
			got += " " + r.Rule
		}
		if got != want {
			t.Fatalf("Decide = %q, want %q", got, want)
		}
	})
}

var schema, _ = rulebook.NewSchema("count_1d", "mean_30d")

// model decides by the numbers in the conditions.
func model(rules []rulebook.Rule, matching rulebook.Matching, amount float64) string {
	rules = slices.Clone(rules)
	slices.SortStableFunc(rules, func(a, b rulebook.Rule) int { return a.Order - b.Order }) // names are in order already
	action, hits := 0, ""
	for _, r := range rules {
		limit, _ := strconv.Atoi(strings.TrimPrefix(r.Condition, "amount > "))
		if r.Mode == rulebook.Paused || amount <= float64(limit) {
			continue
		}
		hits += " " + r.Name
		if r.Mode == rulebook.Live {
			action = max(action, map[rulebook.Action]int{rulebook.Review: 1, rulebook.Block: 2}[r.Action])
			if matching == rulebook.FirstMatch {
				break
			}
		}
	}
	return []string{"approve", "review", "block"}[action] + hits
}

func BenchmarkDecide(b *testing.B) {
	for _, n := range []int{1, 10, 50} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			book := rulebook.New(newSchema(b), rulebook.AllMatches)
			if err := book.Apply(change(rulebook.Change{List: &rulebook.List{Name: "blocked", Values: []string{"1", "2"}}})); err != nil {
				b.Fatal(err)
			}
			for i := range n {
				if err := book.Apply(rule(fmt.Sprintf("r%d", i), "amount > 3.0 * mean_30d && count_1d > 5.0 || card in lists.blocked", 1)); err != nil {
					b.Fatal(err)
				}
			}
			p := rulebook.Payment{ID: "p", Card: "7", Amount: 20, Time: noon, Features: []float64{2, 10}}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := book.Decide(p); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "payments/s")
		})
	}
}
