package archtest

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/build/constraint"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Finding is one place where the sources leave the architecture.
type Finding struct {
	Position string // file and line, or a folder
	Problem  string
	Remedy   string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s: %s\n\tremedy: %s", f.Position, f.Problem, f.Remedy)
}

// Report is what Check saw.
type Report struct {
	Packages []string // below the module, sorted
	Findings []Finding
}

// Check reads the Go files below the root of the module and holds them against the
// table and the rules. It returns an error if a file cannot be read or parsed.
func Check(fsys fs.FS) (Report, error) {
	c := checker{fsys: fsys, files: token.NewFileSet()}
	if err := fs.WalkDir(fsys, ".", c.visit); err != nil {
		return Report{}, fmt.Errorf("archtest: %w", err)
	}
	for _, pkg := range c.packages {
		if !slices.Contains(c.documented, pkg) {
			c.add(pkg, "the package has no doc.go with a package comment",
				"write one: the first sentence says what the package is for; then concepts, concurrency, and what it deliberately does not do")
		}
	}
	slices.SortStableFunc(c.findings, func(a, b Finding) int { return cmp.Compare(a.Position, b.Position) })
	return Report{Packages: c.packages, Findings: c.findings}, nil
}

type checker struct {
	fsys       fs.FS
	files      *token.FileSet
	packages   []string
	documented []string // those with a doc.go
	findings   []Finding
}

func (c *checker) add(position, problem, remedy string) {
	c.findings = append(c.findings, Finding{position, problem, remedy})
}

func (c *checker) visit(name string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case name == ".":
		return nil
	case d.IsDir():
		if base := d.Name(); base == "testdata" || base == "vendor" || base[0] == '.' || base[0] == '_' {
			return fs.SkipDir
		}
		if _, err := fs.Stat(c.fsys, path.Join(name, "go.mod")); err == nil {
			return fs.SkipDir // another module
		}
		return nil
	case path.Ext(name) != ".go":
		return nil
	}
	text, err := fs.ReadFile(c.fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(c.files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if outsideBuilds(syntax) {
		return nil
	}
	c.file(name, syntax)
	return nil
}

// outsideBuilds reports whether a lone tag keeps the file out of every build.
func outsideBuilds(f *ast.File) bool {
	for _, group := range f.Comments {
		if group.Pos() > f.Package {
			break
		}
		for _, line := range group.List {
			if line.Text == "//go:build ignore" || line.Text == "//go:build deps" {
				_, err := constraint.Parse(line.Text)
				return err == nil
			}
		}
	}
	return false
}

// source is one file, with what the rules ask of it.
type source struct {
	name    string
	pkg     string // its folder below the module
	test    bool   // of no use to production code
	syntax  *ast.File
	imports map[string]string // path by the name it has in the file
}

func (c *checker) file(name string, syntax *ast.File) {
	s := source{name: name, pkg: path.Dir(name), syntax: syntax, imports: map[string]string{}}
	s.test = strings.HasSuffix(name, "_test.go") || forTests(s.pkg)
	if !slices.Contains(c.packages, s.pkg) {
		c.packages = append(c.packages, s.pkg)
		c.folder(s.pkg, name)
	}
	if path.Base(name) == "doc.go" && syntax.Doc.Text() != "" {
		c.documented = append(c.documented, s.pkg)
	}
	if n := strings.TrimSuffix(syntax.Name.Name, "_test"); slices.Contains(drawerNames, n) && n != path.Base(s.pkg) {
		c.drawer(name, n)
	}
	for _, spec := range syntax.Imports {
		c.importSpec(&s, spec)
	}
	ast.Inspect(syntax, func(n ast.Node) bool { c.node(&s, n); return true })
}

// folder checks what a package's place and name say.
func (c *checker) folder(pkg, file string) {
	if _, ok := find(pkg); !ok {
		c.add(pkg, "the package has no place in the layer table",
			"decide where it stands and add it to internal/archtest/layers.go")
	}
	for elem := range strings.SplitSeq(pkg, "/") {
		if slices.Contains(drawerNames, elem) {
			c.drawer(file, elem)
		}
	}
}

func (c *checker) drawer(position, name string) {
	c.add(position, fmt.Sprintf("the package name %q says nothing about what is inside", name),
		"name it for what it does, or move its parts to where they are used")
}

func (c *checker) importSpec(s *source, spec *ast.ImportSpec) {
	target, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return // the parser accepts only quoted strings
	}
	local := path.Base(target)
	if spec.Name != nil {
		local = spec.Name.Name
	}
	s.imports[local] = target
	position := c.files.Position(spec.Pos()).String()

	if to, ours := strings.CutPrefix(target, module+"/"); ours {
		if remedy := forbidden(s.pkg, to, s.test); remedy != "" {
			from, _ := find(s.pkg)
			there, _ := find(to)
			c.add(position, fmt.Sprintf("%s (%v) imports %s (%v)", s.pkg, from, to, there), remedy)
		}
	}
	for _, l := range libraries {
		if below(target, l.path) && !slices.Contains(l.only, s.pkg) && !(s.test && len(l.only) == 0) {
			c.add(position, fmt.Sprintf("%s imports %s", s.pkg, target), l.remedy)
		}
	}
	if s.test {
		return
	}
	if slices.Contains(bare, s.pkg) && strings.Contains(target, ".") {
		c.add(position, fmt.Sprintf("%s imports %s, but depends on the standard library alone", s.pkg, target),
			"do without it, or move what needs it to a higher floor")
	}
	if slices.Contains(pure, s.pkg) {
		for _, world := range worldImports {
			if below(target, world) {
				c.add(position, fmt.Sprintf("%s is pure, but imports %s", s.pkg, target),
					"have the caller do the I/O: take events in, return effects")
			}
		}
		if target == "time" && local == "." {
			c.add(position, s.pkg+" is pure, but imports all names of time", "import time by its name")
		}
	}
}

// node checks what a file does with the clock and with goroutines.
func (c *checker) node(s *source, n ast.Node) {
	isPure := slices.Contains(pure, s.pkg) && !s.test
	switch n := n.(type) {
	case *ast.GoStmt:
		if isPure {
			c.add(c.files.Position(n.Pos()).String(), s.pkg+" is pure, but starts a goroutine",
				"return the work as an effect; the loop above runs it")
		}
	case *ast.SelectorExpr:
		x, ok := n.X.(*ast.Ident)
		if !ok || s.imports[x.Name] != "time" {
			return
		}
		position := c.files.Position(n.Pos()).String()
		if isPure && slices.Contains(clockNames, n.Sel.Name) {
			c.add(position, fmt.Sprintf("%s is pure, but uses time.%s", s.pkg, n.Sel.Name),
				"take now as an argument, and return the next deadline")
		}
		if s.test && n.Sel.Name == "Sleep" && !s.bubble() {
			c.add(position, "a test sleeps", "wait for a signal, or move the test into a testing/synctest bubble, where no real time passes")
		}
	}
}

// bubble reports whether the file's tests run on fake time.
func (s *source) bubble() bool {
	for _, target := range s.imports {
		if target == "testing/synctest" {
			return true
		}
	}
	return false
}
