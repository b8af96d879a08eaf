package deciding

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

// maxContributions bounds an explanation.
const maxContributions = 5

// Decide scores a payment and evaluates the rules. at is where it is decided.
func (b *Book) Decide(p *desk.Prepared, at desk.Place) (desk.Decision, error) {
	v := p.Vector()
	return b.decide(p, &v, at, b.scores(&v))
}

// DecideScored is Decide with scores that were made before: for a backtest of rules, which sees what the models said then.
func (b *Book) DecideScored(p *desk.Prepared, at desk.Place, scores []desk.ModelScore) (desk.Decision, error) {
	v := p.Vector()
	return b.decide(p, &v, at, scores)
}

// scores are those of all models that are not paused.
func (b *Book) scores(v *features.Vector) []desk.ModelScore {
	var scores []desk.ModelScore
	for _, m := range b.models {
		if m.Mode != rulebook.Paused {
			scores = append(scores, desk.ModelScore{Model: m.Name, Version: m.Version, Mode: m.Mode, Score: m.scorer.Score(v)})
		}
	}
	return scores
}

func (b *Book) decide(p *desk.Prepared, v *features.Vector, at desk.Place, scores []desk.ModelScore) (desk.Decision, error) {
	d := desk.Decision{
		Payment: p.ID, Card: p.Card, Terminal: p.Terminal, Amount: p.Amount, Time: p.Time,
		Scores: scores, At: at, Revision: b.revision, Duplicate: duplicate(p),
	}
	if len(scores) > 0 && scores[0].Mode == rulebook.Live {
		d.Score = scores[0].Score
	}
	b.values = variables(b.values[:0], p, v, d.Score)
	said, err := b.rules.Decide(rulebook.Payment{
		ID: strconv.FormatInt(p.ID, 10), Card: p.Card, Terminal: p.Terminal, Amount: v[0], Time: p.Time, Features: b.values,
	})
	if err != nil {
		return d, err
	}
	d.Action, d.Results = said.Action, said.Results
	if len(d.Results) > 0 {
		d.Explanation = b.explain(p, v)
	}
	return d, nil
}

// duplicate says what a payment that goes on may repeat.
func duplicate(p *desk.Prepared) *desk.Duplicate {
	if p.Verdict == duplicates.Unique {
		return nil
	}
	first := desk.Place{Topic: desk.Transactions.Name, Partition: p.Partition, Offset: p.First}
	return &desk.Duplicate{Verdict: p.Verdict, Source: source(p), First: first}
}

func source(p *desk.Prepared) desk.Place {
	return desk.Place{Topic: desk.Transactions.Name, Partition: p.Partition, Offset: p.Offset}
}

func (b *Book) explain(p *desk.Prepared, v *features.Vector) *desk.Explanation {
	e := &desk.Explanation{
		Features: make(map[string]float64, len(b.values)), Contributions: b.contributions(v), Before: before(p), Records: []desk.Place{source(p)},
	}
	for i, name := range b.schema.Features() {
		e.Features[name] = b.values[i]
	}
	for _, r := range p.Recent {
		e.Records = append(e.Records, desk.Place{Topic: desk.Transactions.Name, Partition: p.Partition, Offset: r.Offset})
	}
	for _, f := range p.Frauds {
		e.Records = append(e.Records, desk.Place{Topic: desk.Labels.Name, Partition: f.Partition, Offset: f.Offset})
	}
	return e
}

// before takes a payment out of what was counted with it.
func before(p *desk.Prepared) desk.Before {
	s := desk.Before{TerminalPayments: p.TerminalPayments, TerminalFrauds: p.TerminalFrauds, Recent: p.Recent}
	for i := range features.Days {
		s.CardPayments[i], s.CardAmount[i] = p.CardPayments[i]-1, payment.Cents(p.CardCents[i])-p.Amount
	}
	return s
}

// contributions are the largest of the live model.
func (b *Book) contributions(v *features.Vector) []desk.Contribution {
	if len(b.models) == 0 || b.models[0].Mode != rulebook.Live {
		return nil
	}
	explainer, ok := b.models[0].scorer.(scoring.Explainer)
	if !ok {
		return nil
	}
	var all []desk.Contribution
	for i, c := range explainer.Contributions(v) {
		if c != 0 {
			all = append(all, desk.Contribution{Feature: features.Names()[i], Value: v[i], LogOdds: c})
		}
	}
	slices.SortStableFunc(all, func(x, y desk.Contribution) int { return cmp.Compare(math.Abs(y.LogOdds), math.Abs(x.LogOdds)) })
	return all[:min(len(all), maxContributions)]
}
