package office

import (
	"bytes"
	"encoding/json/jsontext"
	"slices"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// Differences are the changes that bring a set of rules and lists, and models, into force: lists first, as rules name them. The first
// model is to be live, the others shadows. What is not named stays as it is.
func (o *Office) Differences(set rulebook.File, models []scoring.File) (changes []desk.Change) {
	o.mu.Lock()
	defer o.mu.Unlock()
	lists := o.mu.book.Lists()
	for _, l := range set.Lists {
		if !slices.ContainsFunc(lists, func(now rulebook.List) bool { return now.Name == l.Name && slices.Equal(now.Values, l.Values) }) {
			changes = append(changes, desk.Change{Change: rulebook.Change{List: &l}})
		}
	}
	rules := o.mu.book.Rules()
	for _, r := range set.Rules {
		r.Version = 1
		if i := slices.IndexFunc(rules, func(now rulebook.Rule) bool { return now.Name == r.Name }); i >= 0 {
			if r.Version = rules[i].Version; r == rules[i] {
				continue
			}
			r.Version++
		}
		changes = append(changes, desk.Change{Change: rulebook.Change{Rule: &r}})
	}
	inForce := o.mu.book.Models()
	for i, file := range models {
		m := desk.Model{Name: file.Name, Version: 1, Mode: rulebook.Shadow, File: jsontext.Value(file.JSON)}
		if i == 0 {
			m.Mode = rulebook.Live
		}
		if at := slices.IndexFunc(inForce, func(now desk.Model) bool { return now.Name == m.Name }); at >= 0 {
			now := inForce[at]
			if now.Mode == m.Mode && bytes.Equal(compacted(now.File), compacted(m.File)) {
				continue
			}
			m.Version = now.Version + 1
		}
		changes = append(changes, desk.Change{Model: &m})
	}
	return changes
}

// compacted is the text without what does not count: a file comes back from the log without its white space.
func compacted(v jsontext.Value) []byte {
	v = bytes.Clone(v)
	_ = v.Compact() // what does not parse stays as it is, and is refused elsewhere
	return v
}
