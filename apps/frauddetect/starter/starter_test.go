package starter

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

// The rules of each profile are accepted, lists first, and there is one for each kind of planted case.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, profile := range []generator.Profile{generator.Europe, generator.Korea} {
		book, err := deciding.New(rulebook.AllMatches)
		if err != nil {
			t.Fatal(err)
		}
		apply := func(c rulebook.Change) {
			t.Helper()
			c.Who, c.At = "starter", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
			if _, err := book.Apply(desk.Change{Change: c}); err != nil {
				t.Error(err)
			}
		}
		for _, l := range Lists() {
			apply(rulebook.Change{List: &l})
		}
		var names []string
		for _, r := range Rules(profile) {
			apply(rulebook.Change{Rule: &r})
			names = append(names, r.Name)
			if strings.ContainsAny(r.Condition, "{}") {
				t.Errorf("rule %s: %s", r.Name, r.Condition)
			}
		}
		for _, kind := range generator.Kinds() {
			if !slices.Contains(names, kind) {
				t.Errorf("no rule is about %s", kind)
			}
		}
	}
	if got, want := Rules(generator.Korea)[4].Condition, "amount > 319000.0"; got != want {
		t.Errorf("the limit in won is %q, want %q", got, want)
	}
}
