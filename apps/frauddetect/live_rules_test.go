package main

import (
	"bytes"
	"encoding/json/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/office"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

// changedRule is the rule of the starter that the tests change.
const changedRule = "amount-above-limit"

// changeRule puts a version of changedRule with another condition in force, and returns where it took effect, by partition, and the
// version.
func (d *benchDesk) changeRule(condition string) ([]desk.Application, int) {
	d.b.Helper()
	o, err := office.Open(d.b.Context(), d.cluster, rulebook.AllMatches)
	if err != nil {
		d.b.Fatal(err)
	}
	defer o.Close()
	rule := ruleInForce(o)
	rule.Version++
	rule.Condition = condition
	made, err := o.Change(d.b.Context(), desk.Change{Change: rulebook.Change{Rule: &rule, Who: "ann", Why: "a wave"}})
	if err != nil {
		d.b.Fatal(err)
	}
	applied, err := o.Wait(d.b.Context(), made.ID, deskPartitions)
	if err != nil {
		d.b.Fatal(err)
	}
	return applied, rule.Version
}

func ruleInForce(o *office.Office) (rule rulebook.Rule) {
	o.Look(func(b *deciding.Book) {
		rules := b.Rules()
		rule = rules[slices.IndexFunc(rules, func(r rulebook.Rule) bool { return r.Name == changedRule })]
	})
	return rule
}

// A rule that is changed while payments flow has one offset in each partition from which it holds, and a backtest of it over the same log
// predicts its alerts: all of those behind the offsets, and no other.
func TestBacktestPredictsAlertsOfAChangeUnderFlow(t *testing.T) {
	t.Parallel()
	d := newBenchDesk(t, deskPartitions)
	defer d.close()
	w := d.writer()
	for range 2000 {
		d.pay(w)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Some of these are decided by now, others lie in any topic on the way.
	const condition = "amount > 90.0"
	applied, version := d.changeRule(condition)
	for range 2000 {
		d.pay(w)
	}
	d.stop(w)

	behind := func(at desk.Place) bool { return at.Offset > applied[at.Partition].Offset }
	alerts := make(map[desk.Place]bool) // behind the change, by the changed rule
	for r, err := range d.cluster.Read(t.Context(), desk.Decisions) {
		if err != nil {
			t.Fatal(err)
		}
		now := applied[r.Value.At.Partition]
		if behind(r.Value.At) != (r.Value.Revision >= now.Revision) {
			t.Errorf("decided at %+v by revision %d: want revision %d behind offset %d and an earlier one before it", r.Value.At, r.Value.Revision, now.Revision, now.Offset)
		}
		for _, hit := range r.Value.Results {
			if hit.Rule == changedRule && behind(r.Value.At) != (hit.Version == version) {
				t.Errorf("at %+v, version %d hits: version %d holds behind offset %d and nowhere else", r.Value.At, hit.Version, version, now.Offset)
			}
		}
	}
	for r, err := range d.cluster.Read(t.Context(), desk.Alerts) {
		if err != nil {
			t.Fatal(err)
		}
		if behind(r.Value.At) && slices.Contains(hits(&r.Value.Decision), changedRule) {
			alerts[r.Value.At] = true
		}
	}

	// Against a log without the rule's hits, all that the backtest predicts is new.
	predicted := make(map[desk.Place]bool)
	for place := range d.predict(condition) {
		if behind(place) {
			predicted[place] = true
		}
	}
	if len(alerts) == 0 || len(predicted) != len(alerts) {
		t.Errorf("%d alerts predicted and %d made: want as many, and some", len(predicted), len(alerts))
	}
	for place := range alerts {
		if !predicted[place] {
			t.Errorf("the alert at %+v was not predicted", place)
		}
	}
}

// predict backtests changedRule with a condition, under a name of its own so that each of its hits is a difference, and returns where it hits.
func (d *benchDesk) predict(condition string) map[desk.Place]bool {
	d.b.Helper()
	var diff bytes.Buffer
	const name = "predicted"
	test := backtest{cluster: d.cluster, diff: &diff, rules: rulebook.File{Rules: []rulebook.Rule{
		{Name: name, Version: 1, Condition: condition, Action: rulebook.Review, Mode: rulebook.Live},
	}}}
	if err := test.run(d.b.Context()); err != nil {
		d.b.Fatal(err)
	}
	places := make(map[desk.Place]bool)
	for line := range bytes.Lines(diff.Bytes()) {
		var h hitChange
		if err := json.Unmarshal(line, &h); err != nil {
			d.b.Fatal(err)
		}
		if h.Rule == name {
			places[h.At] = true
		}
	}
	return places
}

// What comes with the program is brought into force at the first start only; what a file names is whenever it differs, and says so.
func TestStartKeepsWhatPeopleChanged(t *testing.T) {
	t.Parallel()
	d := newBenchDesk(t, deskPartitions)
	defer d.close()
	w := d.writer()
	_, version := d.changeRule("amount > 1000.0")
	again := beginning{who: "ann", command: "frauddetect desk"}
	start := func() rulebook.Rule {
		t.Helper()
		if err := again.bringIntoForce(t.Context(), d.cluster, chain{partitions: deskPartitions}); err != nil {
			t.Fatal(err)
		}
		o, err := office.Open(t.Context(), d.cluster, rulebook.AllMatches)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		return ruleInForce(o)
	}
	if r := start(); r.Version != version || r.Condition != "amount > 1000.0" {
		t.Errorf("after another start: %+v, want version %d as it was changed", r, version)
	}
	again.rulesFile = filepath.Join(t.TempDir(), "rules.yaml")
	rules := "rules:\n  - {name: " + changedRule + ", condition: amount > 500.0, action: review}\n"
	if err := os.WriteFile(again.rulesFile, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing to change
		if r := start(); r.Version != version+1 || r.Condition != "amount > 500.0" {
			t.Errorf("after a start with a file: %+v, want version %d of the file", r, version+1)
		}
	}
	var why string
	for r, err := range d.cluster.Read(t.Context(), desk.Changes) {
		if err != nil {
			t.Fatal(err)
		}
		why = r.Value.Who + ": " + r.Value.Why
	}
	if want := "ann: frauddetect desk began with --rules rules.yaml"; why != want {
		t.Errorf("the last change is of %q, want %q", why, want)
	}
	d.stop(w)
}

// BenchmarkRuleChange measures, while 10,000 payments a second flow, from when a changed rule is written until all partitions have applied
// it. Run it with -benchtime=20x: that many changes.
func BenchmarkRuleChange(b *testing.B) {
	const rate = 10_000
	d := newBenchDesk(b, deskPartitions)
	defer d.close()
	w := d.writer()
	enough, flown := make(chan struct{}), make(chan int)
	go func() {
		start, n := time.Now(), 0
		for ; ; n++ {
			select {
			case <-enough:
				flown <- n
				return
			case <-time.After(time.Until(start.Add(time.Duration(n) * time.Second / rate))):
				d.pay(w)
			}
		}
	}()
	<-time.After(time.Second) // the flow is steady
	var took []time.Duration
	b.ResetTimer()
	for i := range b.N {
		condition := []string{"amount > 90.0", "amount > 91.0"}[i%2]
		began := time.Now()
		d.changeRule(condition)
		took = append(took, time.Since(began))
	}
	b.StopTimer()
	close(enough)
	n := <-flown
	d.stop(w)
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2])/1e6, "p50-ms")
	b.ReportMetric(float64(took[len(took)-1])/1e6, "max-ms")
	b.ReportMetric(float64(n)/(b.Elapsed().Seconds()+1), "payments/s")
}
