package rulebook

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Change is one change of a book. Exactly one of Rule, List, Snooze, and the names to remove, is set.
type Change struct {
	Rule       *Rule   `json:"rule,omitzero"`
	List       *List   `json:"list,omitzero"`
	Snooze     *Snooze `json:"snooze,omitzero"`
	RemoveRule string  `json:"removeRule,omitzero"`
	RemoveList string  `json:"removeList,omitzero"`

	Who string    `json:"who"`
	At  time.Time `json:"at"`
	Why string    `json:"why"`
}

// Payment is what conditions see of a payment.
type Payment struct {
	ID, Card, Terminal string
	Amount             float64 // in units
	Time               time.Time
	// Features are the values of the schema's features, in its order.
	Features []float64
}

// Outcome is what a rule said of a payment.
type Outcome string

const (
	Hit     Outcome = "hit"
	Snoozed Outcome = "snoozed" // a hit that does not count, because the card is snoozed
	Failed  Outcome = "error"
)

// Result is the outcome of one rule, unless it had nothing to say.
type Result struct {
	Rule    string  `json:"rule"`
	Version int     `json:"version"`
	Mode    Mode    `json:"mode"`
	Action  Action  `json:"action"`
	Outcome Outcome `json:"outcome"`
	// Values explain a hit.
	Values []Value `json:"values,omitzero"`
	// Error is why the condition could not be evaluated.
	Error string `json:"error,omitzero"`
}

// Decision is what the book says of a payment.
type Decision struct {
	// Action is the highest of the live rules that hit; approve if none did.
	Action Action `json:"action"`
	// Revision is the number of changes that the book had seen.
	Revision int64 `json:"revision"`
	// Results are those of the rules that did not simply say no, in the order of evaluation.
	Results []Result `json:"results,omitzero"`
}

// Matching says which rules are evaluated.
type Matching int

const (
	AllMatches Matching = iota // all of them: the highest action wins
	FirstMatch                 // up to the first live rule that hits
)

// Book is what is in force. It is not safe for concurrent use.
type Book struct {
	schema   *Schema
	matching Matching
	revision int64
	programs map[string]*program
	order    []*program
	lists    map[string]List
	values   ref.Val // of all lists, as conditions see them
	snoozes  map[snoozeKey]time.Time
	in       input // reused
}

type snoozeKey struct{ rule, card string }

// New returns an empty book.
func New(schema *Schema, matching Matching) *Book {
	b := &Book{
		schema: schema, matching: matching,
		programs: make(map[string]*program), lists: make(map[string]List), snoozes: make(map[snoozeKey]time.Time),
	}
	b.indexLists()
	return b
}

// Check returns why a change cannot be applied, or nil. What it says is for the person who enters the change.
func (b *Book) Check(c Change) error {
	_, err := b.check(c)
	return err
}

func (b *Book) check(c Change) (*program, error) {
	if n := c.kinds(); n != 1 {
		return nil, fmt.Errorf("rulebook: a change of %d things: want one rule, list or snooze", n)
	}
	if c.Who == "" || c.At.IsZero() {
		return nil, errors.New("rulebook: a change must say who made it, and when")
	}
	switch {
	case c.Rule != nil:
		return b.checkRule(*c.Rule)
	case c.List != nil:
		if err := c.List.validate(); err != nil {
			return nil, fmt.Errorf("rulebook: list %q: %w", c.List.Name, err)
		}
		if _, known := b.lists[c.List.Name]; !known && len(b.lists) >= MaxLists {
			return nil, fmt.Errorf("rulebook: list %q: there are %d lists, which is the most", c.List.Name, MaxLists)
		}
	case c.Snooze != nil:
		if err := c.Snooze.validate(); err != nil {
			return nil, fmt.Errorf("rulebook: snooze of %q: %w", c.Snooze.Rule, err)
		}
		if b.programs[c.Snooze.Rule] == nil {
			return nil, fmt.Errorf("rulebook: there is no rule %q to snooze", c.Snooze.Rule)
		}
		if _, known := b.snoozes[snoozeKey{c.Snooze.Rule, c.Snooze.Card}]; !known && len(b.snoozes) >= MaxSnoozes {
			return nil, fmt.Errorf("rulebook: there are %d snoozes, which is the most: wait until some have ended", MaxSnoozes)
		}
	case c.RemoveRule != "":
		if b.programs[c.RemoveRule] == nil {
			return nil, fmt.Errorf("rulebook: there is no rule %q to remove", c.RemoveRule)
		}
	default:
		return nil, b.checkRemoveList(c.RemoveList)
	}
	return nil, nil
}

// kinds is the number of things that a change is about.
func (c Change) kinds() (n int) {
	for _, set := range []bool{c.Rule != nil, c.List != nil, c.Snooze != nil, c.RemoveRule != "", c.RemoveList != ""} {
		if set {
			n++
		}
	}
	return n
}

func (b *Book) checkRule(r Rule) (*program, error) {
	p, err := b.schema.compile(r)
	if err != nil {
		return nil, err
	}
	version := 0
	if known := b.programs[r.Name]; known != nil {
		version = known.rule.Version
	} else if len(b.programs) >= MaxRules {
		return nil, fmt.Errorf("rulebook: rule %q: there are %d rules, which is the most", r.Name, MaxRules)
	}
	if r.Version != version+1 {
		return nil, fmt.Errorf("rulebook: rule %q: version %d does not follow version %d: somebody has changed it meanwhile; look at it again", r.Name, r.Version, version)
	}
	for _, name := range p.lists {
		if _, known := b.lists[name]; !known {
			return nil, fmt.Errorf("rulebook: rule %q: there is no list %q: make it first, empty if need be", r.Name, name)
		}
	}
	return p, nil
}

func (b *Book) checkRemoveList(name string) error {
	if _, known := b.lists[name]; !known {
		return fmt.Errorf("rulebook: there is no list %q to remove", name)
	}
	for _, p := range b.order {
		if slices.Contains(p.lists, name) {
			return fmt.Errorf("rulebook: list %q is used by rule %q: change that first", name, p.rule.Name)
		}
	}
	return nil
}

// Apply makes a change, or returns why it cannot be made; the book is then as before.
func (b *Book) Apply(c Change) error {
	p, err := b.check(c)
	if err != nil {
		return err
	}
	b.apply(c, p)
	return nil
}

// Restore makes a change that was accepted before, into a book that need not hold what came before it: an earlier version,
// or a list.
func (b *Book) Restore(c Change) error {
	var p *program
	if c.Rule != nil {
		var err error
		if p, err = b.schema.compile(*c.Rule); err != nil {
			return err
		}
	}
	b.apply(c, p)
	return nil
}

func (b *Book) apply(c Change, p *program) {
	b.revision++
	switch {
	case c.Rule != nil:
		b.programs[c.Rule.Name] = p
		b.sortRules()
	case c.List != nil:
		b.lists[c.List.Name] = *c.List
		b.indexLists()
	case c.Snooze != nil:
		// Those that ended before this change was made hold nothing back any more, whatever comes late.
		maps.DeleteFunc(b.snoozes, func(_ snoozeKey, until time.Time) bool { return len(b.snoozes) > MaxSnoozes/2 && until.Before(c.At) })
		b.snoozes[snoozeKey{c.Snooze.Rule, c.Snooze.Card}] = c.Snooze.Until
	case c.RemoveRule != "":
		delete(b.programs, c.RemoveRule)
		maps.DeleteFunc(b.snoozes, func(k snoozeKey, _ time.Time) bool { return k.rule == c.RemoveRule })
		b.sortRules()
	default:
		delete(b.lists, c.RemoveList)
		b.indexLists()
	}
}

func (b *Book) sortRules() {
	b.order = slices.SortedFunc(maps.Values(b.programs), func(x, y *program) int {
		return cmp.Or(cmp.Compare(x.rule.Order, y.rule.Order), strings.Compare(x.rule.Name, y.rule.Name))
	})
}

// indexLists makes what conditions see of the lists: sets, by name.
func (b *Book) indexLists() {
	all := make(map[ref.Val]ref.Val, len(b.lists))
	for name, list := range b.lists {
		set := make(map[ref.Val]ref.Val, len(list.Values))
		for _, v := range list.Values {
			set[types.String(v)] = types.True
		}
		all[types.String(name)] = types.NewRefValMap(types.DefaultTypeAdapter, set)
	}
	b.values = types.NewRefValMap(types.DefaultTypeAdapter, all)
}

// Rules are the rules in the order of evaluation.
func (b *Book) Rules() []Rule {
	rules := make([]Rule, len(b.order))
	for i, p := range b.order {
		rules[i] = p.rule
	}
	return rules
}

// Lists are the lists by name.
func (b *Book) Lists() []List {
	return slices.SortedFunc(maps.Values(b.lists), func(x, y List) int { return strings.Compare(x.Name, y.Name) })
}

// Snoozes are the snoozes by rule and card.
func (b *Book) Snoozes() []Snooze {
	snoozes := make([]Snooze, 0, len(b.snoozes))
	for k, until := range b.snoozes {
		snoozes = append(snoozes, Snooze{k.rule, k.card, until})
	}
	slices.SortFunc(snoozes, func(x, y Snooze) int {
		return cmp.Or(strings.Compare(x.Rule, y.Rule), strings.Compare(x.Card, y.Card))
	})
	return snoozes
}

// Revision is the number of changes applied.
func (b *Book) Revision() int64 { return b.revision }

// Decide evaluates the rules.
func (b *Book) Decide(p Payment) (Decision, error) {
	if len(p.Features) != len(b.schema.features) {
		return Decision{}, fmt.Errorf("rulebook: payment %s has %d features, the schema %d", p.ID, len(p.Features), len(b.schema.features))
	}
	d := Decision{Action: Approve, Revision: b.revision}
	b.in.reset(b.schema, b.values, &p)
	for _, rule := range b.order {
		if rule.rule.Mode == Paused {
			continue
		}
		r := b.result(rule, &p)
		if r.Outcome == "" {
			continue
		}
		d.Results = append(d.Results, r)
		if r.Outcome == Hit && r.Mode == Live {
			d.Action = Higher(d.Action, r.Action)
			if b.matching == FirstMatch {
				break
			}
		}
	}
	return d, nil
}

// result evaluates one rule. Its outcome is empty if the condition is false.
func (b *Book) result(p *program, of *Payment) Result {
	holds, err := p.holds(&b.in)
	if err == nil && !holds {
		return Result{}
	}
	r := Result{Rule: p.rule.Name, Version: p.rule.Version, Mode: p.rule.Mode, Action: p.rule.Action}
	if err != nil {
		r.Outcome, r.Error = Failed, err.Error()
		return r
	}
	r.Outcome, r.Values = Hit, p.explain(&b.in)
	if until, ok := b.snoozes[snoozeKey{p.rule.Name, of.Card}]; ok && of.Time.Before(until) {
		r.Outcome = Snoozed
	}
	return r
}

// input gives conditions their variables. It makes each once for a payment, however many rules name it.
type input struct {
	schema  *Schema
	lists   ref.Val
	payment *Payment
	values  []any // by slot of the schema; nil if no condition has asked yet
}

var _ cel.Activation = (*input)(nil)

// reset begins with another payment.
func (in *input) reset(schema *Schema, lists ref.Val, p *Payment) {
	in.schema, in.lists, in.payment = schema, lists, p
	if in.values == nil {
		in.values = make([]any, len(schema.slots))
	}
	clear(in.values)
}

// ResolveName implements cel.Activation.
func (in *input) ResolveName(name string) (any, bool) {
	slot, ok := in.schema.slots[name]
	if !ok {
		return nil, false
	}
	if in.values[slot] == nil {
		in.values[slot] = in.value(slot)
	}
	return in.values[slot], true
}

func (in *input) value(slot int) any {
	if slot >= len(reserved) {
		return types.Double(in.payment.Features[slot-len(reserved)])
	}
	switch reserved[slot] {
	case varID:
		return types.String(in.payment.ID)
	case varCard:
		return types.String(in.payment.Card)
	case varTerminal:
		return types.String(in.payment.Terminal)
	case varAmount:
		return types.Double(in.payment.Amount)
	case varTime:
		return types.Timestamp{Time: in.payment.Time}
	}
	return in.lists
}

// Parent implements cel.Activation.
func (in *input) Parent() cel.Activation { return nil }
