package planted

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tests are the test and fuzz functions of the module, by name.
func tests(t *testing.T) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, match := range declared.FindAllStringSubmatch(string(source), -1) {
			found[match[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestGuarantees: the tests that docs/guarantees.md names exist, and each planted bug
// is on that page with its test.
func TestGuarantees(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	page, exist := string(b), tests(t)
	for _, match := range regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(page, -1) {
		if !exist[match[1]] {
			t.Errorf("docs/guarantees.md names %s, and there is no such test", match[1])
		}
	}
	patches, err := filepath.Glob("*.patch")
	if err != nil || len(patches) == 0 {
		t.Fatal("no patches", err)
	}
	for _, name := range patches {
		patch, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitN(string(patch), "\n", 3)
		fields := strings.Fields(lines[1])
		if len(fields) != 3 || !exist[fields[2]] {
			t.Errorf("%s: the second line %q does not name a package and a test", name, lines[1])
			continue
		}
		if row := "`" + fields[2] + "`"; !strings.Contains(page, row) {
			t.Errorf("%s: docs/guarantees.md does not name %s", name, row)
		}
	}
}
