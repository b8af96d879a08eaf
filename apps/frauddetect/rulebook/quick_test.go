package rulebook

import (
	"fmt"
	"math"
	"testing"

	"cel.dev/cel-go/common/types"
	"pgregory.net/rapid"
)

// numbers are operands as rules have them, and others.
func numbers(depth int) *rapid.Generator[string] {
	leaf := rapid.SampledFrom([]string{"a", "b", "amount", "0.0", "1.0", "-2.5", "220.0", "1e300", "0.1"})
	if depth == 0 {
		return leaf
	}
	return rapid.OneOf(leaf, rapid.Custom(func(t *rapid.T) string {
		x, y := numbers(depth-1).Draw(t, "x"), numbers(depth-1).Draw(t, "y")
		return fmt.Sprintf(rapid.SampledFrom([]string{"(%s + %s)", "(%s - %s)", "%s * %s", "%s / %s"}).Draw(t, "operator"), x, y)
	}), rapid.Map(numbers(depth-1), func(x string) string { return "-(" + x + ")" }))
}

func truths(depth int) *rapid.Generator[string] {
	// CEL orders doubles and integers, but finds none equal: that is an error when the rule is made.
	ints := rapid.SampledFrom([]string{"0", "3", "-1", "9007199254740993"})
	compared := rapid.OneOf(rapid.Custom(func(t *rapid.T) string {
		comparison := rapid.SampledFrom([]string{" < ", " <= ", " > ", " >= "}).Draw(t, "comparison")
		return numbers(2).Draw(t, "x") + comparison + rapid.OneOf(numbers(2), ints).Draw(t, "y")
	}), rapid.Custom(func(t *rapid.T) string {
		comparison := rapid.SampledFrom([]string{" == ", " != "}).Draw(t, "comparison")
		return numbers(2).Draw(t, "x") + comparison + numbers(2).Draw(t, "y")
	}))
	if depth == 0 {
		return compared
	}
	return rapid.OneOf(compared, rapid.Custom(func(t *rapid.T) string {
		x, y := truths(depth-1).Draw(t, "x"), truths(depth-1).Draw(t, "y")
		return "(" + x + rapid.SampledFrom([]string{" && ", " || "}).Draw(t, "operator") + y + ")"
	}), rapid.Map(truths(depth-1), func(x string) string { return "!(" + x + ")" }), rapid.SampledFrom([]string{`card == "4711"`, "true"}))
}

// A quick condition holds where CEL says that it does, and knows its limits.
func TestQuickConditions(t *testing.T) {
	t.Parallel()
	schema, err := NewSchema("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	values := rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1, -2.5, 220, 3, 1 << 53, math.NaN(), math.Inf(1), math.Inf(-1)}), rapid.Float64())
	made, known := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		text := truths(2).Draw(t, "condition")
		p, err := schema.compile(Rule{Name: "rule", Version: 1, Condition: text, Action: Review, Mode: Live})
		if err != nil {
			t.Fatal(err)
		}
		if p.quick == nil {
			return
		}
		made++
		pay := &Payment{Card: "4711", Amount: values.Draw(t, "amount"), Features: []float64{values.Draw(t, "a"), values.Draw(t, "b")}}
		var in input
		in.reset(schema, noLists, pay)
		want, _, wantErr := p.run.Eval(&in)
		if holds, ok := p.quick(pay); ok {
			known++
			if wantErr != nil || holds != (want == types.True) {
				t.Fatalf("%s with %v: %v, CEL says %v, %v", text, pay, holds, want, wantErr)
			}
		}
		holds, err := p.holds(&in)
		if (err != nil) != (wantErr != nil) || err == nil && holds != (want == types.True) {
			t.Fatalf("%s with %v: holds is %v, %v; CEL says %v, %v", text, pay, holds, err, want, wantErr)
		}
	})
	if made == 0 || known == 0 {
		t.Errorf("%d quick conditions, %d of them known: the test has tried nothing", made, known)
	}
}

// What is not about numbers alone is left to CEL.
func TestNotQuick(t *testing.T) {
	t.Parallel()
	schema, err := NewSchema("a", "b")
	if err != nil {
		t.Fatal(err)
	}
	for condition, want := range map[string]bool{
		"a > 1.0":                       true,
		"a > 1 && !(b < amount * 3.0)":  true,
		"a > 9007199254740993":          false,
		`card == "4711"`:                false,
		"card in lists.blocked":         false,
		`a > 1.0 || id.startsWith("x")`: false,
		"time.getHours() > 3":           false,
		"double(id) > 3.0":              false,
		"(a > 1.0 ? a : b) > 2.0":       false,
		"(a > 1.0) == (b > 1.0)":        false,
		"true":                          false,
	} {
		p, err := schema.compile(Rule{Name: "rule", Version: 1, Condition: condition, Action: Review, Mode: Live})
		if err != nil {
			t.Fatal(err)
		}
		if (p.quick != nil) != want {
			t.Errorf("%s is quick: %v, want %v", condition, p.quick != nil, want)
		}
	}
}

func BenchmarkCondition(b *testing.B) {
	schema, err := NewSchema("a", "b")
	if err != nil {
		b.Fatal(err)
	}
	p, err := schema.compile(Rule{Name: "rule", Version: 1, Condition: "a >= 10.0 && amount > 3.0 * b", Action: Review, Mode: Live})
	if err != nil {
		b.Fatal(err)
	}
	in, pay := new(input), &Payment{Amount: 30, Features: []float64{12, 11}}
	for _, quick := range []bool{true, false} {
		b.Run(fmt.Sprintf("quick=%v", quick), func(b *testing.B) {
			if !quick {
				p.quick = nil
			}
			b.ReportAllocs()
			for b.Loop() {
				in.reset(schema, noLists, pay)
				if _, err := p.holds(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
