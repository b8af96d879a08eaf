package desk

import (
	"encoding/json/jsontext"

	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

// Change is one change of what is in force: of a rule, a list, a snooze or a model. It says who made it, when and why.
type Change struct {
	// ID tells changes apart. It is made up by who writes the change.
	ID string `json:"id"`
	// Change is one of a rule, a list or a snooze, unless Model or RemoveModel is set.
	rulebook.Change
	Model       *Model `json:"model,omitzero"`
	RemoveModel string `json:"removeModel,omitzero"`
}

// Model is a version of a model.
type Model struct {
	Name string `json:"name"`
	// Version is 1 for a new model and grows by 1 with each change.
	Version int `json:"version"`
	// Mode is live for the model whose score rules see, which is one at most: the one before is shadow from then on. A shadow's
	// scores are told, and decide nothing.
	Mode rulebook.Mode `json:"mode"`
	// File is the model as package scoring parses it.
	File jsontext.Value `json:"file"`
	// Text says in plain words what the model is.
	Text string `json:"text,omitzero"`
}

// Limits of models, so that they fit into memory, and into one record.
const (
	MaxModels     = 8
	MaxModelBytes = 900_000
)

// Key is the key of the change in [Changes]: what it is about.
func (c Change) Key() string {
	switch {
	case c.Rule != nil:
		return "rule/" + c.Rule.Name
	case c.RemoveRule != "":
		return "rule/" + c.RemoveRule
	case c.List != nil:
		return "list/" + c.List.Name
	case c.RemoveList != "":
		return "list/" + c.RemoveList
	case c.Snooze != nil:
		return "snooze/" + c.Snooze.Rule + "/" + c.Snooze.Card
	case c.Model != nil:
		return "model/" + c.Model.Name
	}
	return "model/" + c.RemoveModel
}

// Entry is something that is in force: its last change, and the revision that it made. What is in force can be put together from
// its entries.
type Entry struct {
	Revision int64  `json:"revision"`
	Change   Change `json:"change"`
}

// Key is that of the change.
func (e Entry) Key() string { return e.Change.Key() }

// Application is what came of a change in one partition of [Inputs].
type Application struct {
	ID  string `json:"id"`
	Key string `json:"key"`
	// Partition and Offset say where the change took effect: for every payment behind it, and none before it.
	Partition int32 `json:"partition"`
	Offset    int64 `json:"offset"`
	// Revision is the number of changes in force there since the beginning, this one included.
	Revision int64 `json:"revision"`
	// Error is why the change was not applied, if it was not. It is the same in all partitions.
	Error string `json:"error,omitzero"`
}
