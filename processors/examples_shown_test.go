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

// Every processor has an Example.
func TestEveryProcessorHasAnExample(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var wanted, shown []string
	for _, name := range files {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			f, ok := d.(*ast.FuncDecl)
			switch {
			case !ok || f.Recv != nil:
			case strings.HasSuffix(name, "_test.go"):
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
