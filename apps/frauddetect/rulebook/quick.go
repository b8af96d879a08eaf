package rulebook

import (
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// quick is a condition that only compares numbers, as most do, made of functions of Go: CEL's interpreter, which keeps each number
// in an interface, needs ten times as long. It says only whether the condition holds; CEL explains. Where known is false it is CEL's turn,
// too: NaN is an error there.
type quick func(p *Payment) (holds, known bool)

// number is an operand of a quick condition.
type number func(p *Payment) float64

// quickly makes a quick condition, or nil if this one has something else in it.
func (s *Schema) quickly(a *cel.Ast) quick {
	return quickMaker{s, a.NativeRep()}.truth(a.NativeRep().Expr())
}

type quickMaker struct {
	schema *Schema
	ast    *ast.AST
}

func (m quickMaker) truth(e ast.Expr) quick {
	if e.Kind() != ast.CallKind {
		return nil
	}
	call := e.AsCall()
	switch call.FunctionName() {
	case operators.LogicalAnd:
		return m.until(false, call.Args())
	case operators.LogicalOr:
		return m.until(true, call.Args())
	case operators.LogicalNot:
		x := m.truth(call.Args()[0])
		if x == nil {
			return nil
		}
		return func(p *Payment) (bool, bool) {
			holds, known := x(p)
			return !holds, known
		}
	}
	return m.comparison(call)
}

// until is the && (end is false) or the || (end is true) of expressions.
func (m quickMaker) until(end bool, args []ast.Expr) quick {
	parts := make([]quick, len(args))
	for i, arg := range args {
		if parts[i] = m.truth(arg); parts[i] == nil {
			return nil
		}
	}
	return func(p *Payment) (bool, bool) {
		for _, part := range parts {
			if holds, known := part(p); !known || holds == end {
				return end, known
			}
		}
		return !end, true
	}
}

func (m quickMaker) comparison(call ast.CallExpr) quick {
	var compare func(a, b float64) bool
	switch call.FunctionName() {
	case operators.Less:
		compare = func(a, b float64) bool { return a < b }
	case operators.LessEquals:
		compare = func(a, b float64) bool { return a <= b }
	case operators.Greater:
		compare = func(a, b float64) bool { return a > b }
	case operators.GreaterEquals:
		compare = func(a, b float64) bool { return a >= b }
	case operators.Equals:
		compare = func(a, b float64) bool { return a == b }
	case operators.NotEquals:
		compare = func(a, b float64) bool { return a != b }
	default:
		return nil
	}
	x, y := m.number(call.Args()[0]), m.number(call.Args()[1])
	if x == nil || y == nil {
		return nil
	}
	return func(p *Payment) (bool, bool) {
		a, b := x(p), y(p)
		return compare(a, b), !math.IsNaN(a) && !math.IsNaN(b)
	}
}

func (m quickMaker) number(e ast.Expr) number {
	switch e.Kind() {
	case ast.LiteralKind:
		return m.literal(e)
	case ast.IdentKind:
		return m.variable(e.AsIdent())
	case ast.CallKind:
		if m.ast.GetType(e.ID()) == types.DoubleType {
			return m.arithmetic(e.AsCall())
		}
	}
	return nil
}

func (m quickMaker) literal(e ast.Expr) number {
	var c float64
	switch v := e.AsLiteral().(type) {
	case types.Double:
		c = float64(v)
	case types.Int:
		if c = float64(v); math.Abs(c) >= 1<<53 {
			return nil // CEL compares it exactly
		}
	default:
		return nil
	}
	return func(*Payment) float64 { return c }
}

func (m quickMaker) variable(name string) number {
	slot, ok := m.schema.slots[name]
	switch {
	case !ok:
		return nil
	case name == varAmount:
		return func(p *Payment) float64 { return p.Amount }
	case slot >= len(reserved):
		i := slot - len(reserved)
		return func(p *Payment) float64 { return p.Features[i] }
	}
	return nil
}

func (m quickMaker) arithmetic(call ast.CallExpr) number {
	args := make([]number, len(call.Args()))
	for i, arg := range call.Args() {
		if args[i] = m.number(arg); args[i] == nil {
			return nil
		}
	}
	if call.FunctionName() == operators.Negate {
		return func(p *Payment) float64 { return -args[0](p) }
	}
	if len(args) != 2 {
		return nil
	}
	x, y := args[0], args[1]
	switch call.FunctionName() {
	// The conversions keep a sum and a product from becoming one operation, which rounds once.
	case operators.Add:
		return func(p *Payment) float64 { return float64(x(p) + y(p)) }
	case operators.Subtract:
		return func(p *Payment) float64 { return float64(x(p) - y(p)) }
	case operators.Multiply:
		return func(p *Payment) float64 { return float64(x(p) * y(p)) }
	case operators.Divide:
		return func(p *Payment) float64 { return float64(x(p) / y(p)) }
	}
	return nil
}
