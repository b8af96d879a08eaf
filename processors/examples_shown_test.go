package processors_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// models says which test compares a processor with a model that is too simple to be wrong, on random input: several keys, records that
// come late, out of order and at equal times, and restarts in between.
var models = map[string]string{
	"Dedup":            "TestDedupModel",
	"DedupLast":        "TestDedupLastModel",
	"Delay":            "TestDelayModel",
	"Deviate":          "TestDeviationModel",
	"FirstSeen":        "TestFirstSeenModel",
	"ImpossibleTravel": "TestTravelModel",
	"MarkDuplicates":   "TestDedupModel",
	"RateLimit":        "TestRateLimitModel",
	"Sequence":         "TestSequenceModel",
	"Sessionize":       "TestSessionModel",
	"Sliding":          "TestSlidingModel",
	"TopK":             "TestTopKModel",
	"Velocity":         "TestVelocityModel",
}

// Every processor has an Example, and a model that it is compared with: in a test that models names, whose file uses it.
func TestEveryProcessorHasAnExampleAndAModel(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var wanted, shown []string
	used := make(map[string]map[string]bool) // by test, what its file takes from other packages
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		selected := make(map[string]bool)
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := s.X.(*ast.Ident); ok {
					selected[x.Name+"."+s.Sel.Name] = true
				}
			}
			return true
		})
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || f.Recv != nil:
			case strings.HasSuffix(name, "_test.go"):
				used[f.Name.Name] = selected
				if example, ok := strings.CutPrefix(f.Name.Name, "Example"); ok {
					shown = append(shown, strings.SplitN(example, "_", 2)[0])
				}
			case f.Name.IsExported() && isProcessor(f):
				wanted = append(wanted, f.Name.Name)
			}
		}
	}
	if len(wanted) < 13 {
		t.Fatalf("only these processors were found: %v", wanted)
	}
	for _, name := range wanted {
		if !slices.Contains(shown, name) {
			t.Errorf("processor %s has no Example: write func Example%s", name, name)
		}
		switch selected := used[models[name]]; {
		case models[name] == "":
			t.Errorf("processor %s has no model: write a test that compares it with one on random input, and name it in models", name)
		case !selected["rapid.Check"] || !selected["processors."+name]:
			t.Errorf("processor %s: the file of %s draws no input, or does not use it", name, models[name])
		}
	}
	for name := range models {
		if !slices.Contains(wanted, name) {
			t.Errorf("models names %s, which is no processor", name)
		}
	}
}

// isProcessor reports whether a function returns what Process or ProcessWith takes.
func isProcessor(f *ast.FuncDecl) bool {
	if f.Type.Results == nil || len(f.Type.Results.List) != 1 {
		return false
	}
	switch result := f.Type.Results.List[0].Type.(type) {
	case *ast.FuncType:
		if result.Params == nil || len(result.Params.List) != 2 {
			return false
		}
		context, ok := result.Params.List[0].Type.(*ast.StarExpr)
		return ok && generic(context.X) == "Context"
	default:
		return generic(result) == "Processor"
	}
}

// generic is the name of a generic type of package stream.
func generic(expr ast.Expr) string {
	list, ok := expr.(*ast.IndexListExpr)
	if !ok {
		return ""
	}
	if of, ok := list.X.(*ast.SelectorExpr); ok {
		return of.Sel.Name
	}
	return ""
}
