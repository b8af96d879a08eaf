package main

import (
	"slices"
	"testing"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/frauddetect/starter"
)

// Each planted case is found by the starter rule that is about its kind, and each kind has one.
func TestStarterRulesFindPlantedCases(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	for _, l := range starter.Lists() {
		c.change(desk.Change{Change: rulebook.Change{List: &l}})
	}
	for _, r := range starter.Rules(generator.Europe) {
		c.change(desk.Change{Change: rulebook.Change{Rule: &r}})
	}
	for _, a := range c.Values(desk.Applied) {
		if a.Error != "" {
			t.Fatalf("%s: %s", a.Key, a.Error)
		}
	}
	const days, cases = 3, 2
	g, err := generator.New(generator.Config{Seed: 5, Customers: 60, Terminals: 400, Cases: cases})
	if err != nil {
		t.Fatal(err)
	}
	payments := make(map[int64]payment.Transaction)
	for {
		p := g.Next()
		if p.Time.After(g.Config().Start.AddDate(0, 0, days)) {
			break
		}
		payments[p.ID] = c.send(p)
	}
	found := make(map[generator.Kind]int)
	for _, d := range c.Values(desk.Decisions) {
		kind := generator.Kind(payments[d.Payment].Scenario)
		rule, planted := generator.Kinds()[kind]
		if planted && slices.ContainsFunc(d.Results, func(r rulebook.Result) bool { return r.Rule == rule && r.Outcome == rulebook.Hit }) {
			found[kind]++
		}
	}
	for kind, rule := range generator.Kinds() {
		if found[kind] < days*cases {
			t.Errorf("rule %s hits %d payments of its kind, want at least one in each of %d cases", rule, found[kind], days*cases)
		}
	}
}
