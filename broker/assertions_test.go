package broker_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// assertions is how many rows docs/assertions.md has.
const assertions = 48

// TestAssertions holds docs/assertions.md and the doc comments of the tests against
// each other: a test that says "Assertion 7" is named in row 7, and a test that row 7
// names says so. Each row has a test over both transports.
func TestAssertions(t *testing.T) {
	t.Parallel()
	tests := assertionTests(t)
	rows := assertionRows(t)
	if len(rows) != assertions {
		t.Errorf("docs/assertions.md has %d rows, want %d", len(rows), assertions)
	}
	for i, row := range rows {
		number := i + 1
		if row.number != number {
			t.Fatalf("row %d of docs/assertions.md has the number %d", number, row.number)
		}
		var want []string
		both := false
		for name, test := range tests {
			if slices.Contains(test.numbers, number) {
				want = append(want, name)
				both = both || test.overBoth
			}
		}
		slices.Sort(want)
		if !slices.Equal(row.tests, want) {
			t.Errorf("assertion %d: docs/assertions.md names %v, the doc comments of %v name it", number, row.tests, want)
		}
		if !both {
			t.Errorf("assertion %d: none of %v runs over both transports (overBoth)", number, want)
		}
	}
}

// assertionTest is a test whose doc comment names assertions.
type assertionTest struct {
	numbers  []int
	overBoth bool
}

var (
	assertionNames   = regexp.MustCompile(`Assertions? (\d+(?:(?:, | and |, and )\d+)*)`)
	assertionNumbers = regexp.MustCompile(`\d+`)
)

func assertionTests(t *testing.T) map[string]assertionTest {
	t.Helper()
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]assertionTest{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range parsed.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(f.Name.Name, "Test") || f.Name.Name == "TestAssertions" {
				continue
			}
			var test assertionTest
			comment := strings.Join(strings.Fields(f.Doc.Text()), " ")
			for _, match := range assertionNames.FindAllStringSubmatch(comment, -1) {
				for _, digits := range assertionNumbers.FindAllString(match[1], -1) {
					n, _ := strconv.Atoi(digits)
					test.numbers = append(test.numbers, n)
				}
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if id, ok := n.(*ast.Ident); ok && (id.Name == "overBoth" || id.Name == "overBothSecured") {
					test.overBoth = true
				}
				return true
			})
			tests[f.Name.Name] = test
		}
	}
	return tests
}

// assertionRow is a row of the table in docs/assertions.md.
type assertionRow struct {
	number int
	tests  []string // sorted
}

func assertionRows(t *testing.T) (rows []assertionRow) {
	t.Helper()
	page, err := os.ReadFile("../docs/assertions.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(page)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 3 {
			continue
		}
		number, err := strconv.Atoi(strings.TrimSpace(cells[0]))
		if err != nil {
			continue // the head
		}
		row := assertionRow{number: number}
		row.tests = strings.Split(strings.TrimSpace(cells[2]), ", ")
		slices.Sort(row.tests)
		if strings.TrimSpace(cells[1]) == "" {
			t.Error(fmt.Sprint("assertion ", number, " says nothing"))
		}
		rows = append(rows, row)
	}
	return rows
}
