package archtest

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const riffle = `"github.com/riffle-stream/riffle/`

// Each rule finds what it is there for, says what is wrong and names a remedy; next
// to it stands what is allowed. A case is one file; a doc.go is added to it.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		file string
		text string
		want string // part of the finding; empty: none
	}{
		// Layers.
		{"lower floor", "broker/commitlog/log.go", `import _ ` + riffle + `broker/record"`, ""},
		{"ground", "broker/commitlog/log.go", `import _ ` + riffle + `internal/vfs"`, ""},
		{"higher floor", "broker/commitlog/log.go", `import _ ` + riffle + `broker"`, "broker/commitlog/log.go:2:8: broker/commitlog (broker tower, floor 2) imports broker (broker tower, floor 3)"},
		{"same floor", "broker/producer/state.go", `import _ ` + riffle + `broker/record"`, "move what it needs down"},
		{"same floor, agreed", "state/store.go", `import _ ` + riffle + `serde"`, ""},
		{"same floor, the other way", "serde/serde.go", `import _ ` + riffle + `state"`, "move what it needs down"},
		{"other tower", "stream/app.go", `import _ ` + riffle + `broker"`, "the towers meet on the Kafka protocol"},
		{"other tower, below", "broker/api.go", `import _ ` + riffle + `serde"`, "the towers meet on the Kafka protocol"},
		{"other tower, in a test", "stream/app_test.go", `import _ ` + riffle + `broker/brokertest"`, "internal/e2e"},
		{"higher floor, in a test", "broker/api_test.go", `import _ ` + riffle + `broker/brokertest"`, ""},
		{"ground imports a tower", "internal/vfs/dir.go", `import _ ` + riffle + `broker/record"`, "internal/vfs (ground) imports broker/record"},
		{"ground imports the ground", "internal/memnet/pipe.go", `import _ ` + riffle + `internal/vfs"`, "internal/memnet (ground) imports internal/vfs"},
		{"bridge to the broker", "internal/embed/embed.go", `import _ ` + riffle + `broker"`, ""},
		{"bridge to the stream", "internal/embed/embed.go", `import _ ` + riffle + `stream"`, "the towers meet"},
		{"stream over the bridge", "stream/cluster.go", `import _ ` + riffle + `internal/embed"`, ""},
		{"others over the bridge", "processors/dedup.go", `import _ ` + riffle + `internal/embed"`, "only stream imports the bridge"},
		{"roof over the bridge", "apps/dedup/main.go", `import _ ` + riffle + `internal/embed"`, "stream.Embedded"},
		{"roof to both towers", "cmd/riffle/main.go", `import (_ ` + riffle + `broker"; _ ` + riffle + `stream")`, ""},
		{"roof to its own parts", "apps/dedup/main.go", `import _ ` + riffle + `apps/dedup/rows"`, ""},
		{"roof to what apps share", "apps/dedup/rows/rows.go", `import _ ` + riffle + `apps/internal/csvfile"`, ""},
		{"roof to another roof", "apps/dedup/main.go", `import _ ` + riffle + `apps/frauddetect/payment"`, "apps/dedup (roof) imports apps/frauddetect/payment (roof)"},
		{"tower to the roof", "processors/dedup.go", `import _ ` + riffle + `apps/dedup/rows"`, "nothing imports the roof"},
		{"no place", "console/console.go", ``, "console: the package has no place in the layer table\n\tremedy: decide where it stands"},

		// Libraries.
		{"badger in its place", "state/badgerstore/db.go", `import _ "github.com/dgraph-io/badger/v4"`, ""},
		{"badger elsewhere", "state/changelog/log.go", `import _ "github.com/dgraph-io/badger/v4/options"`, "use state.Backend"},
		{"badger in a test", "stream/app_test.go", `import _ "github.com/dgraph-io/badger/v4"`, "use state.Backend"},
		{"test library", "broker/api.go", `import _ "github.com/google/go-cmp/cmp"`, "production code imports no test library"},
		{"testing", "broker/api.go", `import _ "testing"`, "production code imports no test library"},
		{"test library in a test", "broker/api_test.go", `import _ "github.com/google/go-cmp/cmp"`, ""},
		{"test library in a package for tests", "broker/brokertest/start.go", `import _ "testing"`, ""},
		{"standard library alone", "broker/record/batch.go", `import _ "github.com/twmb/franz-go/pkg/kmsg"`, "depends on the standard library alone"},
		{"its tests may", "broker/record/batch_test.go", `import _ "github.com/twmb/franz-go/pkg/kmsg"`, ""},

		// Pure packages.
		{"time as a value", "broker/group/group.go", `import "time"; const d = time.Second; func f(now time.Time) {}`, ""},
		{"clock", "broker/group/group.go", `import "time"; var _ = time.Now()`, "broker/group/group.go:2:24: broker/group is pure, but uses time.Now\n\tremedy: take now as an argument"},
		{"clock as a value", "broker/group/group.go", `import "time"; var clock = time.Now`, "uses time.Now"},
		{"clock under another name", "broker/group/group.go", `import t "time"; var _ = t.Since`, "uses time.Since"},
		{"clock without a name", "broker/group/group.go", `import . "time"; var _ = Now()`, "imports all names of time"},
		{"another Now", "broker/group/group.go", `type c struct{}; func (c) Now() {}; func f(time c) { time.Now() }`, ""},
		{"clock elsewhere", "broker/loop.go", `import "time"; var _ = time.Now()`, ""},
		{"clock in a test", "broker/group/group_test.go", `import "time"; var _ = time.Now()`, ""},
		{"goroutine", "stream/internal/task/task.go", `func f() { go f() }`, "is pure, but starts a goroutine"},
		{"goroutine elsewhere", "stream/app.go", `func f() { go f() }`, ""},
		{"files", "state/changelog/marker.go", `import _ "os"`, "is pure, but imports os"},
		{"sockets", "stream/internal/graph/graph.go", `import _ "net/http"`, "is pure, but imports net/http"},
		{"a library called net-something", "broker/group/group.go", `import _ "netip"`, ""},

		// Names.
		{"drawer", "stream/internal/util/x.go", ``, `the package name "util" says nothing`},
		{"drawer above", "apps/dedup/common/rows/x.go", ``, `the package name "common" says nothing`},
		{"drawer by name", "stream/app.go", `package helpers`, `stream/app.go: the package name "helpers" says nothing`},

		// Sleeping.
		{"sleep in a test", "broker/api_test.go", `import "time"; func f() { time.Sleep(1) }`, "broker/api_test.go:2:27: a test sleeps"},
		{"sleep in a package for tests", "broker/brokertest/start.go", `import "time"; func f() { time.Sleep(1) }`, "a test sleeps"},
		{"sleep in a bubble", "broker/api_test.go", `import ("time"; "testing/synctest"); func f() { time.Sleep(1); synctest.Wait() }`, ""},
		{"sleep in production", "broker/loop.go", `import "time"; func f() { time.Sleep(1) }`, ""},

		// What is not looked at.
		{"testdata", "broker/testdata/x.go", `import _ ` + riffle + `stream"`, ""},
		{"tools", "broker/gen.go", "//go:build ignore\n\npackage broker\n" + `import _ ` + riffle + `stream"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			folder := c.file[:strings.LastIndex(c.file, "/")]
			text := c.text
			if !strings.Contains(text, "package ") {
				text = "package x\n" + text
			}
			report, err := Check(fstest.MapFS{
				c.file:             {Data: []byte(text)},
				folder + "/doc.go": {Data: []byte("// Package x is here.\npackage x")},
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range report.Findings {
				got = append(got, f.String())
				if f.Remedy == "" {
					t.Errorf("no remedy: %v", f)
				}
			}
			switch all := strings.Join(got, "\n"); {
			case c.want == "" && len(got) > 0:
				t.Errorf("found\n%s, want nothing", all)
			case c.want != "" && !strings.Contains(all, c.want):
				t.Errorf("found\n%s, want\n%s", all, c.want)
			}
		})
	}
}

func TestEachPackageHasADocFile(t *testing.T) {
	t.Parallel()
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	report, err := Check(fstest.MapFS{
		"broker/doc.go":            file("// Package broker is a server.\npackage broker"),
		"broker/api.go":            file("package broker"),
		"broker/group/group.go":    file("// Package group is documented in the wrong file.\npackage group"),
		"broker/record/doc.go":     file("package record"),
		"broker/catalog/doc.go":    file("// Not a package comment.\n\npackage catalog"),
		"compat/go.mod":            file("module compat"),
		"compat/sarama/main.go":    file("package main"),
		"internal/e2e/e2e_test.go": file("package e2e"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range report.Findings {
		if strings.Contains(f.Problem, "doc.go") {
			got = append(got, f.Position)
		}
	}
	want := []string{"broker/catalog", "broker/group", "broker/record", "internal/e2e"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("without doc.go (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"broker", "broker/catalog", "broker/group", "broker/record", "internal/e2e"}, report.Packages); diff != "" {
		t.Errorf("packages (-want +got):\n%s", diff)
	}
}

func TestCheckReportsFilesThatDoNotParse(t *testing.T) {
	t.Parallel()
	_, err := Check(fstest.MapFS{"broker/api.go": {Data: []byte("package")}})
	if err == nil || !strings.Contains(err.Error(), "broker/api.go") {
		t.Errorf("Check: %v, want an error that names the file", err)
	}
}
