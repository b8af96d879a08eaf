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
	shown := make(map[string]bool)
	for _, f := range parsed(t, "*_test.go") {
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				if example, ok := strings.CutPrefix(f.Name.Name, "Example"); ok {
					// A suffix in lower case tells several of one operator apart.
					parts := strings.SplitN(example, "_", 3)
					shown[strings.Join(parts[:min(len(parts), 2)], "_")] = true
				}
			}
		}
	}
	for _, name := range exportedOperators(t) {
		if !shown[name] {
			t.Errorf("operator %s has no Example: write func Example%s", name, name)
		}
	}
}

// exportedOperators are the operators by their names, such as Stream_Map.
func exportedOperators(t *testing.T) []string {
	t.Helper()
	wanted, types := make(map[string]bool), make(map[string]bool)
	for name, f := range parsed(t, "*.go") {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		for _, d := range f.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv != nil && f.Name.IsExported() {
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
	return slices.Sorted(maps.Keys(wanted))
}

// parsed are the files of a pattern by their paths.
func parsed(t *testing.T, pattern string) map[string]*ast.File {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]*ast.File)
	for _, path := range paths {
		if files[path], err = parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution); err != nil {
			t.Fatal(err)
		}
	}
	return files
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
