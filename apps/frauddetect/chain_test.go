package main

import (
	"encoding/json/jsontext"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

func ExampleTopology_desk() {
	topology, err := chain{partitions: 4}.topology()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(topology)
	// Output:
	// sub-topology 0 reads=labels,transactions stores=duplicates-ids,duplicates-charges,labelled,card-payments,card-recent
	// source labels
	// source transactions
	// processor transactions-filter-1 <- transactions
	// processor duplicates store=duplicates-ids,duplicates-charges <- transactions-filter-1
	// processor duplicates-branch-1 <- duplicates
	// processor duplicates-map-1 <- duplicates-branch-1.yes
	// processor duplicates-branch-2 <- duplicates-map-1
	// sink decisions <- duplicates-branch-2.yes
	// sink conflicts <- duplicates-branch-2.no
	// processor labels store=labelled <- labels
	// processor duplicates-map-2 <- duplicates-branch-1.no
	// processor labels-merge-1 <- labels, duplicates-map-2
	// processor card-features store=card-payments,card-recent <- labels-merge-1
	// rekey by-terminal topic=fraud-desk-by-terminal-repartition <- card-features
	//
	// sub-topology 1 reads=fraud-desk-by-terminal-repartition stores=terminal-payments,terminal-frauds,terminal-labels
	// source by-terminal topic=fraud-desk-by-terminal-repartition
	// processor terminal-features store=terminal-payments,terminal-frauds,terminal-labels <- by-terminal
	// rekey by-card <- terminal-features
	// sink decision-inputs <- by-card
	//
	// sub-topology 2 reads=desk-changes
	// source desk-changes
	// processor broadcast <- desk-changes
	// sink decision-inputs <- broadcast
	//
	// sub-topology 3 reads=decision-inputs stores=book,book-version,learned,unlearned
	// source decision-inputs
	// processor decide store=book,book-version,learned,unlearned <- decision-inputs
	// processor decide-branch-1 <- decide
	// processor decide-branch-2 <- decide-branch-1.no
	// processor decide-map-1 <- decide-branch-2.yes
	// sink desk-applied <- decide-map-1
	// processor decide-map-2 <- decide-branch-2.no
	// sink desk-in-force <- decide-map-2
	// processor decide-map-3 <- decide-branch-1.yes
	// sink decisions <- decide-map-3
	// processor decide-filter-1 <- decide-map-3
	// processor decide-map-4 <- decide-filter-1
	// sink desk-alerts <- decide-map-4
}

// chainTest drives the whole chain, in one partition.
type chainTest struct {
	t testing.TB
	*streamtest.Driver
	start time.Time
	ids   int64
}

func newChainTest(t testing.TB, cfg chain) *chainTest {
	t.Helper()
	cfg.partitions = 1
	topology, err := cfg.topology()
	if err != nil {
		t.Fatal(err)
	}
	return &chainTest{t: t, Driver: streamtest.New(t, topology), start: time.Date(2018, 4, 2, 12, 0, 0, 0, time.UTC)}
}

// pay makes a payment with the next id at the terminal t.
func (c *chainTest) pay(card string, after time.Duration, amount payment.Cents) payment.Transaction {
	c.ids++
	return c.send(payment.Transaction{ID: c.ids, Time: c.start.Add(after), Card: card, Terminal: "t", Amount: amount})
}

func (c *chainTest) send(t payment.Transaction) payment.Transaction {
	c.Pipe(desk.Transactions, t.Card, t, t.Time)
	return t
}

// change makes a change, at a time that has nothing to do with that of the payments.
func (c *chainTest) change(ch desk.Change) {
	c.ids++
	ch.ID, ch.Who, ch.At, ch.Why = fmt.Sprint("change-", c.ids), "ann", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "test"
	c.Pipe(desk.Changes, ch.Key(), ch, ch.At)
}

func (c *chainTest) rule(name string, version int, condition string, action rulebook.Action, mode rulebook.Mode) {
	c.change(desk.Change{Change: rulebook.Change{Rule: &rulebook.Rule{Name: name, Version: version, Condition: condition, Action: action, Mode: mode}}})
}

func (c *chainTest) model(name string, version int, mode rulebook.Mode, file string) {
	c.change(desk.Change{Model: &desk.Model{Name: name, Version: version, Mode: mode, File: jsontext.Value(file)}})
}

// decided says in short what was decided since the last call.
func (c *chainTest) decided() (lines []string) {
	for _, d := range c.Values(desk.Decisions) {
		line := fmt.Sprintf("%d %s", d.Payment, d.Action)
		for _, r := range d.Results {
			line += fmt.Sprintf(" %s.%d:%s", r.Rule, r.Version, r.Outcome)
		}
		if d.Duplicate != nil {
			line += " " + string(d.Duplicate.Verdict)
		}
		lines = append(lines, line)
	}
	return lines
}

func (c *chainTest) want(lines ...string) {
	c.t.Helper()
	if diff := cmp.Diff(lines, c.decided()); diff != "" {
		c.t.Errorf("decisions (-want +got):\n%s", diff)
	}
}

// A change holds for the payments behind it and for none before it, also after a restart; its offset lies in the log of
// inputs.
func TestRulesChangeAtAnOffset(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	c.pay("a", 0, 300_00)
	c.rule("large", 1, "amount > 220", rulebook.Review, rulebook.Live)
	c.pay("a", time.Minute, 301_00)
	c.Restart()
	c.pay("a", time.Hour, 302_00)
	c.rule("large", 2, "amount > 220", rulebook.Block, rulebook.Live)
	c.rule("many", 1, "payments_1h > 1", rulebook.Review, rulebook.Shadow)
	c.pay("a", 2*time.Hour, 303_00)
	c.pay("a", 2*time.Hour+time.Minute, 10_00)
	c.rule("large", 3, "amount > 220", rulebook.Block, rulebook.Paused)
	c.pay("a", 4*time.Hour, 304_00)
	c.want("1 approve", "3 review large.1:hit near", "4 review large.1:hit", "7 block large.2:hit", "8 approve many.1:hit", "10 approve")

	var applied []string
	for _, a := range c.Values(desk.Applied) {
		applied = append(applied, fmt.Sprintf("%s %s@%d r%d", a.ID, a.Key, a.Offset, a.Revision))
	}
	want := []string{"change-2 rule/large@1 r1", "change-5 rule/large@4 r2", "change-6 rule/many@5 r3", "change-9 rule/large@8 r4"}
	if diff := cmp.Diff(want, applied); diff != "" {
		t.Errorf("applied (-want +got):\n%s", diff)
	}
}

// A change that somebody wrote without asking is refused where it is read, with the reason, and payments go on.
func TestBadChangeStopsNothing(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	c.rule("bad", 1, "amount >", rulebook.Block, rulebook.Live)
	c.rule("costly", 1, "[1,2,3,4].all(a, [1,2,3,4].all(b, [1,2,3,4].all(c, [1,2,3,4].all(d, [1,2,3,4].all(e, [1,2,3,4].all(f, a+b+c+d+e+f > 0))))))", rulebook.Block, rulebook.Live)
	c.rule("late", 7, "amount > 1", rulebook.Block, rulebook.Live)
	c.model("empty", 1, rulebook.Live, "{}")
	c.rule("fails", 1, "1 / int(amount) > 5", rulebook.Block, rulebook.Live)
	c.pay("a", 0, 50)
	c.want("6 approve fails.1:error")
	want := []struct{ key, text string }{
		{"rule/bad", "Syntax error"}, {"rule/costly", "it may cost"}, {"rule/late", "does not follow version 0"}, {"model/empty", "has none of"}, {"rule/fails", ""},
	}
	applied := c.Values(desk.Applied)
	for i, a := range applied {
		if a.Key != want[i].key || !strings.Contains(a.Error, want[i].text) || (a.Error == "") != (want[i].text == "") {
			t.Errorf("change %d came to %+v, want an error about %q", i, a, want[i].text)
		}
	}
	if len(applied) != len(want) || applied[len(want)-1].Revision != 1 {
		t.Errorf("applied %+v, want %d, and revision 1 at last", applied, len(want))
	}
}

// Lists, and a snooze that ends, over a restart.
func TestListsAndSnoozes(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	c.change(desk.Change{Change: rulebook.Change{List: &rulebook.List{Name: "blocked", Values: []string{"bad"}}}})
	c.rule("listed", 1, "card in lists.blocked", rulebook.Block, rulebook.Live)
	c.pay("bad", 0, 1_00)
	c.change(desk.Change{Change: rulebook.Change{Snooze: &rulebook.Snooze{Rule: "listed", Card: "bad", Until: c.start.Add(time.Hour)}}})
	c.change(desk.Change{Change: rulebook.Change{List: &rulebook.List{Name: "blocked", Values: []string{"bad", "worse"}}}})
	c.Restart()
	c.pay("bad", 59*time.Minute, 1_00)
	c.pay("worse", 59*time.Minute, 1_00)
	c.pay("bad", time.Hour, 1_00)
	c.want("3 block listed.1:hit", "6 approve listed.1:snoozed", "7 block listed.1:hit", "8 block listed.1:hit double")
}

func TestFirstMatch(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{matching: rulebook.FirstMatch})
	c.rule("allowed", 1, "card == 'friend'", rulebook.Approve, rulebook.Live)
	c.rule("large", 1, "amount > 220", rulebook.Block, rulebook.Live)
	c.pay("friend", 0, 300_00)
	c.pay("a", 0, 300_00)
	c.want("3 approve allowed.1:hit", "4 block large.1:hit")
}

// A payment that comes again is answered by where its first one lies, and counts nowhere; one with another content is set aside.
func TestDuplicatesInFront(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	c.rule("many", 1, "payments_5m > 1", rulebook.Review, rulebook.Live)
	c.rule("double", 1, "suspected_double > 0", rulebook.Review, rulebook.Live)
	first := c.pay("a", 0, 10_00)
	c.send(first)
	changed := first
	changed.Amount = 11_00
	c.send(changed)
	c.pay("a", 10*time.Minute, 20_00)
	c.pay("a", 12*time.Minute, 20_00)
	c.want("3 approve", "3  exact", "4 approve", "5 review double.1:hit many.1:hit double")
	conflicts := c.Values(desk.Conflicts)
	if len(conflicts) != 1 || conflicts[0].Amount != 11_00 || conflicts[0].Duplicate.First.Offset != 0 || conflicts[0].At.Offset != 2 {
		t.Errorf("conflicts %+v, want the third payment against the first", conflicts)
	}
}

// Models are published, switched and shadowed between two payments; rules see the live one's score.
func TestModelsSwitchWhilePaymentsFlow(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	c.rule("score", 1, "score > 0.5", rulebook.Review, rulebook.Live)
	low, high := `{"rules":[{"condition":"TX_AMOUNT > 0.0","score":0.1}]}`, `{"rules":[{"condition":"TX_AMOUNT > 0.0","score":0.9}]}`
	c.pay("a", 0, 1_00)
	c.model("low", 1, rulebook.Live, low)
	c.model("high", 1, rulebook.Shadow, high)
	c.pay("a", time.Hour, 1_00)
	c.Restart()
	c.model("high", 2, rulebook.Live, high)
	c.pay("a", 2*time.Hour, 1_00)
	c.Restart()
	c.pay("a", 3*time.Hour, 1_00)
	var got []string
	for _, d := range c.Values(desk.Decisions) {
		line := fmt.Sprint(d.Payment, d.Action, d.Score)
		for _, s := range d.Scores {
			line += fmt.Sprintf(" %s.%d %s %v", s.Model, s.Version, s.Mode, s.Score)
		}
		got = append(got, line)
	}
	want := []string{
		"2approve0", "5approve0.1 low.1 live 0.1 high.1 shadow 0.9",
		"7review0.9 high.2 live 0.9 low.1 shadow 0.1", "8review0.9 high.2 live 0.9 low.1 shadow 0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scores (-want +got):\n%s", diff)
	}
}

// The explanation names the records that counted, and what was known before them.
func TestExplainedAlert(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	fraud := c.pay("b", 0, 5_00)
	c.pay("a", time.Hour, 10_00)
	c.Pipe(desk.Labels, "b", payment.Label{Transaction: fraud, Known: fraud.Time.Add(7 * day)}, fraud.Time)
	c.rule("risk", 1, "TERMINAL_ID_RISK_30DAY_WINDOW > 0.3", rulebook.Block, rulebook.Live)
	c.pay("a", 7*day+2*time.Hour, 30_00)
	alerts := c.Values(desk.Alerts)
	if len(alerts) != 1 {
		t.Fatalf("%d alerts, want 1", len(alerts))
	}
	a := alerts[0]
	want := &desk.Explanation{
		Before: desk.Before{
			CardPayments: [3]int64{0, 0, 1}, CardAmount: [3]payment.Cents{0, 0, 10_00},
			TerminalPayments: [3]int64{2, 2, 2}, TerminalFrauds: [3]int64{1, 1, 1},
			Recent: []desk.Recent{{Offset: 1, Time: c.start.Add(time.Hour), Amount: 10_00}},
		},
		Records: []desk.Place{{Topic: "transactions", Offset: 2}, {Topic: "transactions", Offset: 1}, {Topic: "labels"}},
	}
	a.Explanation.Features = nil
	if diff := cmp.Diff(want, a.Explanation); diff != "" {
		t.Errorf("explanation (-want +got):\n%s", diff)
	}
	if a.ID != fmt.Sprintf("0-%d", a.At.Offset) || a.Results[0].Values[0].Value != "true" {
		t.Errorf("alert %+v", a)
	}
}

// What people find out about an alert changes its case, and comes back as a label: once for a fraud, and for none that was dismissed.
func TestCasesGiveLabels(t *testing.T) {
	t.Parallel()
	c := newChainTest(t, chain{})
	c.rule("large", 1, "amount > 220", rulebook.Review, rulebook.Live)
	c.pay("a", 0, 300_00)
	c.pay("b", time.Minute, 301_00)
	alerts := c.Values(desk.Alerts)
	if len(alerts) != 2 {
		t.Fatalf("%d alerts, want 2", len(alerts))
	}
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	topology, err := casesTopology()
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	for _, a := range alerts {
		d.Pipe(desk.Alerts, a.Card, a, a.Time)
	}
	change := func(a desk.Alert, status desk.Status, assignee string) {
		ch := desk.AlertChange{Alert: a.ID, Card: a.Card, Assignee: &assignee, Who: "ann", At: at}
		if status != "" {
			ch.Status = &status
		}
		d.Pipe(desk.AlertChanges, a.Card, ch, at)
		d.Restart()
	}
	change(alerts[0], "", "ben")
	change(alerts[0], desk.Confirmed, "ben")
	change(alerts[0], desk.Confirmed, "ann")
	change(alerts[1], desk.Dismissed, "")
	change(alerts[1], "closed", "")
	stranger := alerts[1]
	stranger.Card = "a"
	change(stranger, desk.Confirmed, "")
	if letters := d.DeadLetters(); len(letters) != 2 {
		t.Errorf("%d dead letters, want one for a status and one for a card that there are not: %+v", len(letters), letters)
	}
	var states []string
	for _, s := range d.Read(desk.Cases) {
		states = append(states, fmt.Sprintf("%s v%d %s %s", s.Value.Card, s.Value.Version, s.Value.Status, s.Value.Assignee))
	}
	want := []string{"a v1 open ", "b v1 open ", "a v2 open ben", "a v3 confirmed ben", "a v4 confirmed ann", "b v2 dismissed "}
	if diff := cmp.Diff(want, states); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
	var labels []string
	for _, r := range d.Read(desk.Labels) {
		l := r.Value
		c.Pipe(desk.Labels, r.Key, l, r.Time)
		labels = append(labels, fmt.Sprintf("%d %s genuine=%v", l.Transaction.ID, l.Transaction.Card, l.Genuine))
	}
	if diff := cmp.Diff([]string{"2 a genuine=false", "3 b genuine=true"}, labels); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	// The bank tells of the same fraud again a week later: it counts once.
	fraud := payment.Transaction{ID: 2, Time: c.start, Card: "a", Terminal: "t", Amount: 300_00}
	c.Pipe(desk.Labels, "a", payment.Label{Transaction: fraud, Known: fraud.Time.Add(7 * day)}, fraud.Time)
	c.pay("a", 8*day-time.Second, 400_00)
	again := c.Values(desk.Alerts)
	if len(again) != 1 || again[0].Explanation.Before.TerminalFrauds != [3]int64{1, 1, 1} {
		t.Errorf("a week later: %+v, want one alert that knows of one fraud", again)
	}
}

// An online model learns from labels as they come, and from silence after a week; over a restart it goes on as if there had been none.
func TestOnlineModelLearns(t *testing.T) {
	t.Parallel()
	run := func(restart bool) (scores []float64) {
		c := newChainTest(t, chain{})
		c.model("online", 1, rulebook.Live, `{"online":{}}`)
		for i := range 200 {
			amount := payment.Cents(10_00 + i)
			if i%5 == 0 {
				amount = 300_00
			}
			tx := c.pay(fmt.Sprint("card", i%7), time.Duration(i)*3*time.Hour, amount)
			if i%5 == 0 {
				c.Pipe(desk.Labels, tx.Card, payment.Label{Transaction: tx, Known: tx.Time.Add(time.Hour)}, tx.Time)
			}
			if restart && i%50 == 20 {
				c.Restart()
			}
		}
		for _, d := range c.Values(desk.Decisions) {
			scores = append(scores, d.Score)
		}
		return scores
	}
	scores := run(false)
	if scores[0] != 0.5 || scores[195] < 0.8 || scores[199] > 0.2 {
		t.Errorf("scores: first %v, of a fraud %v, of a genuine payment %v, want 0.5, more than 0.8 and less than 0.2", scores[0], scores[195], scores[199])
	}
	if diff := cmp.Diff(scores, run(true)); diff != "" {
		t.Errorf("scores with restarts (-without +with):\n%s", diff)
	}
}
