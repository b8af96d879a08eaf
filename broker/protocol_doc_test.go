package broker

import (
	"cmp"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/cockroachdb/datadriven" // for -rewrite
	gocmp "github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
)

// docs/protocol.md says what is registered: its table comes from apis, its notes
// from the comments of the handlers, and what is missing is in its last table.
func TestProtocolDocument(t *testing.T) {
	t.Parallel()
	const name = "../docs/protocol.md"
	got, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sorted := apis()
	slices.SortFunc(sorted, func(a, b api) int { return cmp.Compare(a.key, b.key) })
	handlers := handlerDocs(t)
	want := replaceMarked(t, string(got), "served", servedTable(sorted, handlers))
	want = replaceMarked(t, want, "notes", notes(sorted, handlers))
	if f := flag.Lookup("rewrite"); f.Value.String() == "true" {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := gocmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the handlers say: go test ./broker -run TestProtocolDocument -rewrite (-want +got):\n%s", name, diff)
	}
	checkGaps(t, want[strings.Index(want, "## Not served"):])
}

// handlerDoc is the comment of a handler.
type handlerDoc struct{ file, text string }

// handlerDocs finds the comments of all functions of this package, by name.
func handlerDocs(t *testing.T) map[string]handlerDoc {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]handlerDoc{}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				docs[fn.Name.Name] = handlerDoc{file, fn.Doc.Text()}
			}
		}
	}
	return docs
}

// of is the comment of the function that handles a.
func of(a api, docs map[string]handlerDoc) handlerDoc {
	name := runtime.FuncForPC(reflect.ValueOf(a.handle).Pointer()).Name()
	return docs[name[strings.LastIndex(name, ".")+1:]]
}

func (a api) versions() string {
	if a.min == a.max {
		return strconv.Itoa(int(a.min))
	}
	return fmt.Sprintf("%d-%d", a.min, a.max)
}

func servedTable(served []api, docs map[string]handlerDoc) string {
	var b strings.Builder
	b.WriteString("| key | API | versions | Kafka 4.4 up to | source in `broker` |\n| --- | --- | --- | --- | --- |\n")
	kafka := kversion.V4_4_0()
	for _, a := range served {
		upTo, _ := kafka.LookupMaxKeyVersion(a.key)
		fmt.Fprintf(&b, "| %d | %s | %s | %d | `%s` |\n", a.key, kmsg.NameForKey(a.key), a.versions(), upTo, of(a, docs).file)
	}
	return b.String()
}

// notes are the comments of the handlers without what each version changed.
func notes(served []api, docs map[string]handlerDoc) string {
	var b strings.Builder
	for _, a := range served {
		paragraphs := strings.Split(strings.TrimSpace(of(a, docs).text), "\n\n")
		for i, p := range paragraphs[1:] {
			text := strings.Join(strings.Fields(p), " ")
			switch {
			case strings.HasPrefix(text, "- v"):
			case i == 0, i == 1 && strings.HasPrefix(strings.TrimSpace(paragraphs[1]), "- v"):
				fmt.Fprintf(&b, "* **%s**: %s\n", kmsg.NameForKey(a.key), text)
			default:
				fmt.Fprintf(&b, "  %s\n", text)
			}
		}
	}
	return b.String()
}

// replaceMarked puts text between the two comments that name a part.
func replaceMarked(t *testing.T, doc, part, text string) string {
	t.Helper()
	marked := regexp.MustCompile(`(?s)(<!-- ` + part + `:[^>]*-->\n).*(<!-- /` + part + ` -->)`)
	if !marked.MatchString(doc) {
		t.Fatalf("the document has no part %q", part)
	}
	return marked.ReplaceAllStringFunc(doc, func(s string) string {
		m := marked.FindStringSubmatch(s)
		return m[1] + text + m[2]
	})
}

// checkGaps compares the keys in a table with those that Kafka serves and we do not.
func checkGaps(t *testing.T, table string) {
	t.Helper()
	listed := map[int16]bool{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([\d, ]+) \|`).FindAllStringSubmatch(table, -1) {
		for _, key := range strings.Split(row[1], ", ") {
			k, err := strconv.ParseInt(key, 10, 16)
			if err != nil {
				t.Fatal(err)
			}
			listed[int16(k)] = true
		}
	}
	served := apisByKey()
	kversion.V4_4_0().EachMaxKeyVersion(func(key, _ int16) {
		if _, ok := served[key]; ok == listed[key] {
			t.Errorf("key %d, %s: served is %t, and so is listed as not served: correct the last table of docs/protocol.md", key, kmsg.NameForKey(key), ok)
		}
	})
}
