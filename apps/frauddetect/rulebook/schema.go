package rulebook

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

const (
	// maxEstimatedCost is the highest cost that a condition may have at worst, in CEL's units: about one a step. The most
	// expensive of sensible rules need some dozens.
	maxEstimatedCost = 10_000
	// maxActualCost ends an evaluation whose input is larger than the estimate assumed.
	maxActualCost = 20_000
	// usualBytes is how long the estimate takes the strings of a payment to be, mostBytes how long they can be at all.
	usualBytes = 256
	mostBytes  = 1 << 20
)

// payment variables, besides the features.
const (
	varID       = "id"
	varCard     = "card"
	varTerminal = "terminal"
	varAmount   = "amount"
	varTime     = "time"
	varLists    = "lists"
)

var reserved = []string{varID, varCard, varTerminal, varAmount, varTime, varLists}

// Schema says what conditions may name: id, card and terminal (strings), amount (double, in units), time (timestamp), lists (by name,
// as in card in lists.blocked), and each feature as a double under its own name.
type Schema struct {
	features []string
	slots    map[string]int // where a variable's value lies: the reserved names first, then the features
	env      *cel.Env
}

// NewSchema makes a schema with these features, in the order in which payments will give their values.
func NewSchema(features ...string) (*Schema, error) {
	s := &Schema{features: features, slots: make(map[string]int, len(reserved)+len(features))}
	for i, name := range reserved {
		s.slots[name] = i
	}
	opts := []cel.EnvOption{
		cel.Variable(varID, cel.StringType),
		cel.Variable(varCard, cel.StringType),
		cel.Variable(varTerminal, cel.StringType),
		cel.Variable(varAmount, cel.DoubleType),
		cel.Variable(varTime, cel.TimestampType),
		cel.Variable(varLists, cel.MapType(cel.StringType, cel.MapType(cel.StringType, cel.BoolType))),
		cel.CrossTypeNumericComparisons(true), // amount > 220 needs no .0
		cel.ParserExpressionSizeLimit(MaxCondition),
	}
	for i, name := range features {
		if err := validName("feature", name); err != nil {
			return nil, fmt.Errorf("rulebook: %w", err)
		}
		if _, taken := s.slots[name]; taken {
			return nil, fmt.Errorf("rulebook: feature %q: the name is taken", name)
		}
		s.slots[name] = len(reserved) + i
		opts = append(opts, cel.Variable(name, cel.DoubleType))
	}
	env, err := cel.NewEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("rulebook: %w", err)
	}
	s.env = env
	return s, nil
}

// Features are the names of the features, in the order of their values.
func (s *Schema) Features() []string { return slices.Clone(s.features) }

// Check compiles a rule and returns everything that is wrong with it. It does not ask whether the lists that the condition
// names exist: see [Book.Check].
func (s *Schema) Check(r Rule) error {
	_, err := s.compile(r)
	return err
}

// program is a compiled rule.
type program struct {
	rule  Rule
	ast   *cel.Ast
	quick quick // nil if the condition is not of its kind
	run   cel.Program
	slow  cel.Program // notes the values of all sub-expressions, for explanations
	lists []string    // that the condition names
}

func (s *Schema) compile(r Rule) (*program, error) {
	if err := r.validate(); err != nil {
		return nil, fmt.Errorf("rulebook: rule %q: %w", r.Name, err)
	}
	fail := func(err error) (*program, error) {
		return nil, fmt.Errorf("rulebook: rule %q: condition: %w", r.Name, err)
	}
	checked, issues := s.env.Compile(r.Condition)
	err := issues.Err()
	if err != nil {
		return fail(errors.New(strings.TrimSpace(err.Error())))
	}
	if checked.OutputType() != cel.BoolType {
		return fail(fmt.Errorf("it yields %s: want true or false", checked.OutputType()))
	}
	usual, err1 := s.env.EstimateCost(checked, sizes{usualBytes})
	most, err2 := s.env.EstimateCost(checked, sizes{mostBytes})
	if err := errors.Join(err1, err2); err != nil {
		return fail(err)
	}
	if usual.Max > maxEstimatedCost {
		return fail(fmt.Errorf("it may cost %d steps: want at most %d; leave out loops over lists", usual.Max, maxEstimatedCost))
	}
	p := &program{rule: r, ast: checked, quick: s.quickly(checked), lists: namedLists(checked)}
	var limit []cel.ProgramOption
	if most.Max > maxActualCost {
		limit = append(limit, cel.CostLimit(maxActualCost)) // which has a price: half of the evaluation
	}
	if p.run, err = s.env.Program(checked, append(limit, cel.EvalOptions(cel.OptOptimize))...); err != nil {
		return fail(err)
	}
	if p.slow, err = s.env.Program(checked, append(limit, cel.EvalOptions(cel.OptTrackState))...); err != nil {
		return fail(err)
	}
	return p, nil
}

// holds evaluates the condition.
func (p *program) holds(in *input) (bool, error) {
	if p.quick != nil {
		if holds, known := p.quick(in.payment); known {
			return holds, nil
		}
	}
	v, _, err := p.run.Eval(in)
	return err == nil && v == types.True, err
}

// namedLists are the lists that a condition looks into, each once.
func namedLists(a *cel.Ast) []string {
	var names []string
	ast.PreOrderVisit(a.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		name := ""
		switch {
		case e.Kind() == ast.SelectKind && isLists(e.AsSelect().Operand()):
			name = e.AsSelect().FieldName()
		case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index:
			args := e.AsCall().Args()
			if text, ok := literal(args[1]); ok && isLists(args[0]) {
				name = text
			}
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}))
	return names
}

func isLists(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == varLists }

func literal(e ast.Expr) (string, bool) {
	if e.Kind() != ast.LiteralKind {
		return "", false
	}
	text, ok := e.AsLiteral().Value().(string)
	return text, ok
}

// sizes are what an estimate assumes of the input.
type sizes struct{ stringBytes uint64 }

func (s sizes) EstimateSize(n cost.AstNode) *cost.SizeEstimate {
	path := n.Path()
	switch {
	case len(path) > 0 && path[0] == varLists && len(path) == 1:
		return &cost.SizeEstimate{Max: MaxLists}
	case len(path) > 0 && path[0] == varLists && len(path) == 2:
		return &cost.SizeEstimate{Max: MaxListValues}
	case len(path) > 0:
		return &cost.SizeEstimate{Max: s.stringBytes}
	}
	return nil
}

func (sizes) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
