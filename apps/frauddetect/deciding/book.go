package deciding

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// Book is what is in force.
type Book struct {
	schema   *rulebook.Schema
	rules    *rulebook.Book
	models   []*model // the live one first, then by name
	revision int64
	values   []float64 // scratch
}

// model is a version of a model that can score.
type model struct {
	desk.Model
	scorer scoring.Model
	entry  desk.Entry
}

// New returns an empty book.
func New(matching rulebook.Matching) (*Book, error) {
	schema, err := Schema()
	if err != nil {
		return nil, err
	}
	return &Book{schema: schema, rules: rulebook.New(schema, matching)}, nil
}

// Restore puts a book of a revision together again, from the entries of everything that was in force.
func Restore(matching rulebook.Matching, revision int64, entries []desk.Entry) (*Book, error) {
	b, err := New(matching)
	if err != nil {
		return nil, err
	}
	entries = slices.SortedFunc(slices.Values(entries), func(x, y desk.Entry) int { return cmp.Compare(x.Revision, y.Revision) })
	for _, e := range entries {
		if e.Change.Model != nil {
			_, err = b.putModel(e)
		} else {
			err = b.rules.Restore(e.Change.Change)
		}
		if err != nil {
			return nil, fmt.Errorf("deciding: restore %s: %w", e.Key(), err)
		}
	}
	b.revision = revision
	return b, nil
}

// Check returns why a change cannot be applied, or nil. What it says is for the person who makes the change.
func (b *Book) Check(c desk.Change) error {
	switch {
	case c.Model == nil && c.RemoveModel == "":
		return b.rules.Check(c.Change)
	case c.Model != nil && c.RemoveModel != "" || c.Rule != nil || c.List != nil || c.Snooze != nil || c.RemoveRule != "" || c.RemoveList != "":
		return errors.New("deciding: a change of several things: want one rule, list, snooze or model")
	case c.Who == "" || c.At.IsZero():
		return errors.New("deciding: a change must say who made it, and when")
	case c.Model != nil:
		return b.checkModel(*c.Model)
	case b.find(c.RemoveModel) < 0:
		return fmt.Errorf("deciding: there is no model %q to remove", c.RemoveModel)
	}
	return nil
}

// Apply makes a change, or returns why it cannot be made; the book is then as before. To restore the book later, keep the
// entries that it returns under their keys, in place of those that were there, and drop all whose key is not in [Book.Keys].
func (b *Book) Apply(c desk.Change) ([]desk.Entry, error) {
	if err := b.Check(c); err != nil {
		return nil, err
	}
	var kept []desk.Entry
	switch e := (desk.Entry{Revision: b.revision + 1, Change: c}); {
	case c.Model != nil:
		demoted, err := b.putModel(e)
		if err != nil {
			return nil, err
		}
		kept = append(demoted, e)
	case c.RemoveModel != "":
		i := b.find(c.RemoveModel)
		b.models = slices.Delete(b.models, i, i+1)
	default:
		if err := b.rules.Apply(c.Change); err != nil {
			return nil, err
		}
		if c.RemoveRule == "" && c.RemoveList == "" {
			kept = append(kept, e)
		}
	}
	b.revision++
	return kept, nil
}

func (b *Book) checkModel(m desk.Model) error {
	if _, err := parse(m); err != nil {
		return err
	}
	version := 0
	if i := b.find(m.Name); i >= 0 {
		version = b.models[i].Version
	} else if len(b.models) >= desk.MaxModels {
		return fmt.Errorf("deciding: model %q: there are %d models, which is the most: remove one first", m.Name, desk.MaxModels)
	}
	if m.Version != version+1 {
		return fmt.Errorf("deciding: model %q: version %d does not follow version %d: somebody has changed it meanwhile; look at it again", m.Name, m.Version, version)
	}
	return nil
}

func parse(m desk.Model) (scoring.Model, error) {
	var errs []error
	if m.Name == "" || len(m.Name) > 100 {
		errs = append(errs, errors.New("no name, or one of more than 100 bytes"))
	}
	if m.Mode != rulebook.Live && m.Mode != rulebook.Shadow && m.Mode != rulebook.Paused {
		errs = append(errs, fmt.Errorf("mode %q: want live, shadow or paused", m.Mode))
	}
	if len(m.File) > desk.MaxModelBytes {
		errs = append(errs, fmt.Errorf("a file of %d bytes: want at most %d", len(m.File), desk.MaxModelBytes))
	}
	parsed, err := scoring.Parse(m.Name, m.File)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("deciding: model %q: %w", m.Name, err)
	}
	return parsed, nil
}

// putModel puts a model in force, and returns the entry of the one that is no longer live, if there is one. A model that learns goes on
// with what it has learned, if it was there before under the same configuration.
func (b *Book) putModel(e desk.Entry) (demoted []desk.Entry, err error) {
	m := *e.Change.Model
	scorer, err := parse(m)
	if err != nil {
		return nil, err
	}
	if i := b.find(m.Name); i >= 0 {
		if string(b.models[i].File) == string(m.File) {
			scorer = b.models[i].scorer
		}
		b.models = slices.Delete(b.models, i, i+1)
	}
	if n := len(b.models); m.Mode == rulebook.Live && n > 0 && b.models[0].Mode == rulebook.Live {
		demoted = append(demoted, b.models[0].demote())
	}
	b.models = append(b.models, &model{m, scorer, e})
	slices.SortFunc(b.models, func(x, y *model) int {
		if live := x.Mode == rulebook.Live; live != (y.Mode == rulebook.Live) {
			if live {
				return -1
			}
			return 1
		}
		return strings.Compare(x.Name, y.Name)
	})
	return demoted, nil
}

// demote makes a live model a shadow.
func (m *model) demote() desk.Entry {
	m.Mode = rulebook.Shadow
	changed := m.Model
	m.entry.Change.Model = &changed
	return m.entry
}

func (b *Book) find(name string) int {
	return slices.IndexFunc(b.models, func(m *model) bool { return m.Name == name })
}

// Keys are those of everything that is in force, by [desk.Change.Key]. An entry of another key is not needed any more.
func (b *Book) Keys() map[string]bool {
	keys := make(map[string]bool)
	add := func(c desk.Change) { keys[c.Key()] = true }
	for _, r := range b.rules.Rules() {
		add(desk.Change{Change: rulebook.Change{Rule: &r}})
	}
	for _, l := range b.rules.Lists() {
		add(desk.Change{Change: rulebook.Change{List: &l}})
	}
	for _, s := range b.rules.Snoozes() {
		add(desk.Change{Change: rulebook.Change{Snooze: &s}})
	}
	for _, m := range b.models {
		add(desk.Change{Model: &m.Model})
	}
	return keys
}

// Revision is the number of changes applied since the beginning.
func (b *Book) Revision() int64 { return b.revision }

// Rules are the rules in the order of evaluation.
func (b *Book) Rules() []rulebook.Rule { return b.rules.Rules() }

// Lists are the lists by name.
func (b *Book) Lists() []rulebook.List { return b.rules.Lists() }

// Snoozes are the snoozes by rule and card, those that have ended included.
func (b *Book) Snoozes() []rulebook.Snooze { return b.rules.Snoozes() }

// Models are the models, the live one first, then by name.
func (b *Book) Models() []desk.Model {
	models := make([]desk.Model, len(b.models))
	for i, m := range b.models {
		models[i] = m.Model
	}
	return models
}

// Learners are the models that learn, the live one first, then by name. Those that are paused do not learn.
func (b *Book) Learners() []scoring.Learner {
	var learners []scoring.Learner
	for _, m := range b.models {
		if l, ok := m.scorer.(scoring.Learner); ok && m.Mode != rulebook.Paused {
			learners = append(learners, l)
		}
	}
	return learners
}
