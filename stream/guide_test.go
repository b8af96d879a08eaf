package stream_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every Go snippet of the guide is an excerpt of code that is compiled here, line by line, whatever its indentation.
func TestGuideIsCompiled(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile(filepath.Join("..", "docs", "guide.md"))
	if err != nil {
		t.Fatal(err)
	}
	var sources []string
	for _, pattern := range []string{"*.go", "streamtest/*_test.go", "../processors/*_test.go", "../apps/*/*.go"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			source, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			sources = append(sources, unindented(string(source)))
		}
	}
	snippets := 0
	for _, block := range strings.Split(string(guide), "```go\n")[1:] {
		snippet, _, closed := strings.Cut(block, "```")
		if !closed {
			t.Fatalf("a snippet without an end: %s", block)
		}
		snippets++
		if !within(sources, unindented(snippet)) {
			t.Errorf("no compiled code has this snippet of the guide:\n%s", snippet)
		}
	}
	if snippets < 10 {
		t.Errorf("%d snippets, want the guide's", snippets)
	}
}

func within(sources []string, snippet string) bool {
	for _, source := range sources {
		if strings.Contains(source, snippet) {
			return true
		}
	}
	return false
}

// unindented is a text with each line stripped of its indentation, and gofmt's alignment made single spaces.
func unindented(text string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(text) {
		b.WriteString(strings.Join(strings.Fields(line), " "))
		b.WriteByte('\n')
	}
	return b.String()
}
