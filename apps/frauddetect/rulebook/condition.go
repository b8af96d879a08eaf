package rulebook

import (
	"sync"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Condition is a condition by itself, without lists. It is safe for concurrent use.
type Condition struct {
	schema  *Schema
	program *program
	inputs  sync.Pool // of *input
}

// noLists is what a Condition sees of the lists.
var noLists = types.NewRefValMap(types.DefaultTypeAdapter, map[ref.Val]ref.Val{})

// Condition compiles a condition, under the limits that rules have.
func (s *Schema) Condition(text string) (*Condition, error) {
	p, err := s.compile(Rule{Name: "condition", Version: 1, Condition: text, Action: Review, Mode: Live})
	if err != nil {
		return nil, err
	}
	return &Condition{schema: s, program: p, inputs: sync.Pool{New: func() any { return new(input) }}}, nil
}

// Holds reports whether the condition is true for p.
func (c *Condition) Holds(p *Payment) (bool, error) {
	in := c.inputs.Get().(*input)
	defer c.inputs.Put(in)
	in.reset(c.schema, noLists, p)
	return c.program.holds(in)
}
