package rulebook

import (
	"fmt"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Value is a part of a condition with the value that it had.
type Value struct {
	Expression string `json:"expression"`
	Value      string `json:"value"`
}

// maxValues bounds an explanation.
const maxValues = 50

// explain evaluates once more and returns the value of each sub-expression, the whole first. What was not evaluated, behind an &&
// that was false before, has no value and is left out; so are constants.
func (p *program) explain(in *input) []Value {
	_, details, err := p.slow.Eval(in)
	if err != nil || details == nil {
		return nil
	}
	state := details.State()
	var values []Value
	ast.PreOrderVisit(p.ast.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.LiteralKind || isLists(e) || len(values) == maxValues {
			return
		}
		v, found := state.Value(e.ID())
		if !found || types.IsUnknownOrError(v) {
			return
		}
		if _, isMap := v.(traits.Mapper); isMap {
			return // a whole list
		}
		text, err := cel.ExprToString(e, p.ast.NativeRep().SourceInfo())
		if err != nil {
			return
		}
		values = append(values, Value{text, valueText(v)})
	}))
	return values
}

func valueText(v ref.Val) string {
	switch v := v.(type) {
	case types.String:
		return fmt.Sprintf("%q", string(v))
	case types.Timestamp:
		return v.Format("2006-01-02T15:04:05.999Z07:00")
	}
	return strings.TrimSpace(fmt.Sprint(v.Value()))
}
