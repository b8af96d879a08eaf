package main

import (
	"context"
	"encoding/json/v2"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/stream"
)

// backtest decides a stretch of the log of inputs anew, by other rules, and compares with what was decided. It reads, and
// writes nothing: the book is its own, features and scores are those of the log.
//
// Lists and snoozes are those of the log, each from its offset on, but for lists that the new rules bring along.
type backtest struct {
	rules    rulebook.File
	matching rulebook.Matching
	from, to bound

	cluster *stream.Cluster
	frauds  map[int64]bool // by id of the payment, what labels say
	last    time.Time      // of the payments in the log
	diff    io.Writer      // nil: none
	report  backtestReport
	seen    func() // called for each input; may be nil
}

// bound is an offset in every partition of the inputs, or a time of payments. The zero value is no bound.
type bound struct {
	offset int64
	time   time.Time
	set    bool
}

// reached reports whether an input lies at or behind the bound.
func (b bound) reached(offset int64, at time.Time) bool {
	if !b.time.IsZero() {
		return !at.Before(b.time)
	}
	return offset >= b.offset
}

// hitChange is a line of the diff file: a rule that hits a payment now and did not, or the other way round.
type hitChange struct {
	Payment int64           `json:"payment"`
	Card    string          `json:"card"`
	Time    time.Time       `json:"time"`
	At      desk.Place      `json:"at"`
	Rule    string          `json:"rule"`
	Change  string          `json:"change"` // new or lost
	Before  rulebook.Action `json:"before"`
	After   rulebook.Action `json:"after"`
	Fraud   *bool           `json:"fraud,omitzero"` // where it is known
}

func (b *backtest) run(ctx context.Context) error {
	if err := b.readLabels(ctx); err != nil {
		return err
	}
	recorded, stop := iter.Pull2(b.cluster.Read(ctx, desk.Decisions))
	defer stop()
	log := &decisionLog{next: recorded}
	var book *deciding.Book
	partition := int32(-1)
	for r, err := range b.cluster.Read(ctx, desk.Inputs) {
		if err != nil {
			return err
		}
		if b.seen != nil {
			b.seen()
		}
		if r.Partition != partition {
			partition = r.Partition
			if book, err = b.book(); err != nil {
				return err
			}
		}
		switch in := r.Value; {
		case in.Change != nil:
			b.follow(book, *in.Change)
		case in.Payment != nil && (!b.from.set || b.from.reached(r.Offset, r.Time)) && !(b.to.set && b.to.reached(r.Offset, r.Time)):
			at := desk.Place{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}
			before, err := log.find(at)
			if err != nil {
				return err
			}
			if before == nil {
				b.report.Undecided++
				continue
			}
			after, err := book.DecideScored(in.Payment, at, before.Scores)
			if err != nil {
				return err
			}
			if err := b.compare(before, &after); err != nil {
				return err
			}
		}
	}
	b.report.finish(len(b.frauds) > 0)
	return nil
}

// readLabels reads what is known of payments, and how far the log goes.
func (b *backtest) readLabels(ctx context.Context) error {
	b.frauds = make(map[int64]bool)
	for r, err := range b.cluster.Read(ctx, desk.Labels) {
		if err != nil {
			return err
		}
		b.frauds[r.Value.Transaction.ID] = !r.Value.Genuine
	}
	if len(b.frauds) == 0 {
		return nil
	}
	for r, err := range b.cluster.ReadLast(ctx, desk.Inputs, 1000) {
		if err != nil {
			return err
		}
		if r.Value.Payment != nil && r.Time.After(b.last) {
			b.last = r.Time
		}
	}
	return nil
}

// book returns one with the new rules in force.
func (b *backtest) book() (*deciding.Book, error) {
	book, err := deciding.New(b.matching)
	if err != nil {
		return nil, err
	}
	apply := func(c rulebook.Change) error {
		c.Who, c.At = "backtest", time.Unix(0, 0)
		_, err := book.Apply(desk.Change{Change: c})
		return err
	}
	for _, l := range b.rules.Lists {
		if err := apply(rulebook.Change{List: &l}); err != nil {
			return nil, err
		}
	}
	for _, r := range b.rules.Rules {
		if err := apply(rulebook.Change{Rule: &r}); err != nil {
			return nil, err
		}
	}
	return book, nil
}

// follow makes a change of the log that is about a list or a snooze. One that cannot be made here could not be made there, or is about
// a rule that is not tested.
func (b *backtest) follow(book *deciding.Book, c desk.Change) {
	switch {
	case c.List != nil && !slices.ContainsFunc(b.rules.Lists, func(l rulebook.List) bool { return l.Name == c.List.Name }), c.Snooze != nil:
		_, _ = book.Apply(c)
	}
}

// compare counts what has changed of a payment.
func (b *backtest) compare(before, after *desk.Decision) error {
	b.report.Payments++
	b.report.alert(before.Action != rulebook.Approve, after.Action != rulebook.Approve)
	fraud, labelled := b.frauds[after.Payment]
	// Of a genuine payment nobody says anything: after a week silence does.
	judged := labelled || len(b.frauds) > 0 && !after.Time.After(b.last.Add(-features.LabelDelay))
	if judged && fraud {
		b.report.Frauds++
	}
	was, is := hits(before), hits(after)
	for _, rule := range union(was, is) {
		h := b.report.rule(rule)
		had, has := slices.Contains(was, rule), slices.Contains(is, rule)
		h.count(had, has)
		if has && judged {
			h.judge(fraud)
		}
		if had == has || b.diff == nil {
			continue
		}
		line := hitChange{
			Payment: after.Payment, Card: after.Card, Time: after.Time, At: after.At, Rule: rule, Change: "new",
			Before: before.Action, After: after.Action,
		}
		if had {
			line.Change = "lost"
		}
		if judged {
			line.Fraud = &fraud
		}
		text, err := json.Marshal(line)
		if err == nil {
			_, err = b.diff.Write(append(text, '\n'))
		}
		if err != nil {
			return fmt.Errorf("write the differences: %w", err)
		}
	}
	return nil
}

// hits are the rules that hit, live and shadow.
func hits(d *desk.Decision) (rules []string) {
	for _, r := range d.Results {
		if r.Outcome == rulebook.Hit {
			rules = append(rules, r.Rule)
		}
	}
	return rules
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// decisionLog finds the decisions of inputs, which lie in the same partitions and the same order.
type decisionLog struct {
	next func() (stream.Record[string, desk.Decision], error, bool)
	held *desk.Decision
}

// find returns the decision on the input at a place, which is behind the one asked for before; nil if there is none.
func (l *decisionLog) find(at desk.Place) (*desk.Decision, error) {
	for {
		if l.held == nil {
			r, err, more := l.next()
			switch {
			case err != nil:
				return nil, err
			case !more:
				return nil, nil
			case r.Value.At.Topic != desk.Inputs.Name:
				continue // of a duplicate, which was not decided
			}
			l.held = &r.Value
		}
		here := l.held.At
		switch {
		case here == at:
			found := l.held
			l.held = nil
			return found, nil
		case here.Partition > at.Partition || here.Partition == at.Partition && here.Offset > at.Offset:
			return nil, nil
		}
		l.held = nil
	}
}
