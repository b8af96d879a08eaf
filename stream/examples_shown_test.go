package stream_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// operators are the types of the DSL: each of their exported methods is an operator.
var operators = []string{
	"Builder", "Topic", "Stream", "Processor", "Windowed", "SessionWindowed", "SlidingWindowed", "WindowTable", "Joined",
	"Table", "GroupedTable", "Cogrouped", "GlobalTable",
}

// Every operator has an Example, which is where its documentation says what comes of it.
func TestEveryOperatorHasAnExample(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	wanted, shown := make(map[string]bool), make(map[string]bool)
	types := make(map[string]bool)
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		test := strings.HasSuffix(name, "_test.go")
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok:
			case test && f.Recv == nil:
				if example, ok := strings.CutPrefix(f.Name.Name, "Example"); ok {
					// A suffix in lower case tells several of one operator apart.
					parts := strings.SplitN(example, "_", 3)
					shown[strings.Join(parts[:min(len(parts), 2)], "_")] = true
				}
			case !test && f.Recv != nil && f.Name.IsExported():
				if on := receiver(f); slices.Contains(operators, on) {
					types[on] = true
					wanted[on+"_"+f.Name.Name] = true
				}
			}
		}
	}
	if len(wanted) < 60 {
		t.Fatalf("only %d operators were found: %v", len(wanted), slices.Sorted(maps.Keys(wanted)))
	}
	for _, name := range operators {
		if !types[name] && name != "GlobalTable" {
			t.Errorf("type %s has no exported methods: was it renamed?", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if !shown[name] {
			t.Errorf("operator %s has no Example: write func Example%s", name, name)
		}
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(f *ast.FuncDecl) string {
	expr := f.Recv.List[0].Type
	for {
		switch x := expr.(type) {
		case *ast.StarExpr:
			expr = x.X
		case *ast.IndexExpr:
			expr = x.X
		case *ast.IndexListExpr:
			expr = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
