package brokertest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

func Example() {
	var t *testing.T // the one of the test function
	example := func() {
		b := brokertest.Start(t)
		cl := brokertest.Client(t, b, kgo.ConsumeTopics("orders"))
		_, _ = kadm.NewClient(cl).CreateTopic(context.Background(), 1, 1, nil, "orders")
		cl.ProduceSync(context.Background(), kgo.StringRecord("hello"))
		fmt.Println(cl.PollFetches(context.Background()).Records())
	}
	_ = example
}

// witness is a test that remembers what was reported.
type witness struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (w *witness) Errorf(format string, args ...any) {
	w.errors = append(w.errors, fmt.Sprintf(format, args...))
}
func (w *witness) Cleanup(f func()) { w.cleanups = append(w.cleanups, f) }
func (w *witness) end() {
	for i := len(w.cleanups) - 1; i >= 0; i-- {
		w.cleanups[i]()
	}
}

// A test whose broker leaves a damaged log behind fails.
func TestDamageIsReported(t *testing.T) {
	t.Parallel()
	for _, damage := range []bool{false, true} {
		fsys := vfs.NewMem()
		w := &witness{TB: t}
		b := brokertest.Start(w, brokertest.FS(fsys), brokertest.TCP(), brokertest.Log(t))
		cl := brokertest.Client(w, b)
		if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), 1, 1, nil, "orders"); err != nil {
			t.Fatal(err)
		}
		if err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "orders", Value: []byte("some bytes to damage")}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		cl.Close()
		brokertest.Stop(t, b)
		if damage {
			flip(t, fsys, "topics")
		}
		w.end()
		if got := len(w.errors) > 0; got != damage {
			t.Errorf("damage=%t: reported %q", damage, w.errors)
		}
	}
}

// flip changes a byte of each file of records below dir.
func flip(t *testing.T, fsys vfs.FS, dir string) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = dir + "/" + name
		if _, err := fsys.List(name); err == nil {
			flip(t, fsys, name)
			continue
		}
		if !strings.HasSuffix(name, ".log") {
			continue
		}
		f, err := fsys.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if size, _ := f.Size(); size > 0 {
			b := make([]byte, 1)
			_, _ = f.ReadAt(b, size-3)
			_, _ = f.WriteAt([]byte{^b[0]}, size-3)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
