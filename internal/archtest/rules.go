package archtest

import "strings"

// pure lists the packages that read no clock, start no goroutine and do no I/O:
// events and the time go in, effects come out. They can be tested by script, model
// and seed.
var pure = []string{
	"broker/group",
	"broker/group/consumer",
	"broker/producer",
	"broker/record",
	"state/changelog",
	"stream/internal/graph",
	"stream/internal/task",
	"stream/window",
}

// worldImports are the packages through which a pure one would touch the world,
// with what is below them.
var worldImports = []string{"os", "net"}

// clockNames are what a pure package does not use of package time.
var clockNames = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}

// drawerNames are package names that say nothing about what is inside.
var drawerNames = []string{"util", "utils", "common", "types", "helper", "helpers", "misc", "base", "shared"}

// library restricts who imports a module that is not ours.
type library struct {
	path   string   // with all below it
	only   []string // packages that may; empty: tests alone
	remedy string
}

var libraries = []library{
	{
		path: "github.com/dgraph-io/badger", only: []string{"state/badgerstore"},
		remedy: "use state.Backend; Badger's errors and options stay inside state/badgerstore",
	},
	testLibrary("github.com/google/go-cmp"),
	testLibrary("github.com/cockroachdb/datadriven"),
	testLibrary("github.com/rogpeppe/go-internal"),
	testLibrary("github.com/twmb/franz-go/pkg/kfake"),
	testLibrary("go.uber.org/goleak"),
	testLibrary("pgregory.net/rapid"),
	testLibrary("testing"),
}

func testLibrary(path string) library {
	return library{path: path, remedy: "production code imports no test library: move this into a _test.go file or a package whose name ends in test"}
}

// bare lists the packages that import nothing but the standard library.
var bare = []string{"broker/record", "broker/producer"}

// forTests reports whether a package exists for tests, so that what it imports
// counts as a test's.
func forTests(pkg string) bool {
	return strings.HasSuffix(pkg, "test") || pkg == "internal/e2e" || pkg == "internal/vfs/faultfs"
}

// below reports whether an import path is root or lies below it.
func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}
