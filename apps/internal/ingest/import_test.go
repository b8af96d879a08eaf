package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

const partitions = 3

var values = stream.NewTopic("values", serde.String, serde.String)

// fixture is a cluster with the dead-letter topic that the application would make.
type fixture struct {
	*stream.Cluster
	ctx context.Context
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	c := stream.Embedded(t.TempDir())
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.CreateTopics(t.Context(), 1, "app-dead-letters"); err != nil {
		t.Fatal(err)
	}
	return fixture{c, t.Context()}
}

func (f fixture) config(source string) Config[string] {
	return Config[string]{Cluster: f.Cluster, App: "app", Topic: values, Partitions: partitions, Source: source}
}

// rows is a source of n rows; every tenth does not parse.
func rows(n int64) func() (Row[string], error) {
	line := int64(1) // the header
	return func() (Row[string], error) {
		if line++; line > n+1 {
			return Row[string]{}, io.EOF
		}
		if line%10 == 0 {
			return Row[string]{}, &BadRow{Line: line, Raw: fmt.Appendf(nil, "raw %d", line), Err: errors.New("bad row")}
		}
		return row(line), nil
	}
}

func row(line int64) Row[string] {
	return Row[string]{Line: line, Key: fmt.Sprint("key ", line%7), Value: fmt.Sprint("value ", line)}
}

// lines returns what is in the topic, by partition, and in the dead letters.
func (f fixture) lines(t *testing.T) (got [partitions][]int64, dead []int64) {
	t.Helper()
	number := func(headers []stream.Header) int64 {
		n, err := strconv.ParseInt(string(header(headers, HeaderLine)), 10, 64)
		if err != nil {
			t.Fatalf("headers %v: %v", headers, err)
		}
		return n
	}
	for r, err := range f.Read(f.ctx, values) {
		if err != nil {
			t.Fatal(err)
		}
		n := number(r.Headers)
		if want := row(n); r.Key != want.Key || r.Value != want.Value {
			t.Fatalf("line %d is %q %q, want %q %q", n, r.Key, r.Value, want.Key, want.Value)
		}
		got[r.Partition] = append(got[r.Partition], n)
	}
	for r, err := range f.Read(f.ctx, deadLetters("app")) {
		if err != nil {
			t.Fatal(err)
		}
		n := number(r.Headers)
		if want := fmt.Sprint("raw ", n); string(r.Value) != want {
			t.Fatalf("dead letter of line %d is %q, want %q", n, r.Value, want)
		}
		dead = append(dead, n)
	}
	return got, dead
}

// wantLines is what must be there after n rows: each once, in order.
func wantLines(n int64) (want [partitions][]int64, dead []int64) {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("values")
	for line := int64(2); line <= n+1; line++ {
		if line%10 == 0 {
			dead = append(dead, line)
			continue
		}
		at := p.Partition(&kgo.Record{Key: []byte(row(line).Key)}, partitions)
		want[at] = append(want[at], line)
	}
	return want, dead
}

func (f fixture) check(t *testing.T, n int64) {
	t.Helper()
	got, gotDead := f.lines(t)
	want, wantDead := wantLines(n)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines in the topic (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(wantDead, gotDead); diff != "" {
		t.Errorf("lines in the dead letters (-want +got)\n%s", diff)
	}
}

func (f fixture) run(t *testing.T, source string, next func() (Row[string], error)) Counts {
	t.Helper()
	im, err := Open(f.ctx, f.config(source))
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Run(f.ctx, next); err != nil {
		t.Fatal(err)
	}
	return im.Counts()
}

func TestImport(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if diff := cmp.Diff(Counts{Line: 101, Written: 90, Bad: 10}, f.run(t, "s", rows(100))); diff != "" {
		t.Errorf("first run (-want +got)\n%s", diff)
	}
	f.check(t, 100)
	if diff := cmp.Diff(Counts{Line: 101, Skipped: 90, Bad: 10}, f.run(t, "s", rows(100))); diff != "" {
		t.Errorf("second run (-want +got)\n%s", diff)
	}
	f.check(t, 100)
	// The source has grown.
	if diff := cmp.Diff(Counts{Line: 121, Written: 18, Skipped: 90, Bad: 12}, f.run(t, "s", rows(120))); diff != "" {
		t.Errorf("third run (-want +got)\n%s", diff)
	}
	f.check(t, 120)
}

// A crash leaves of each partition a prefix of its rows, and the next run finds out which.
func TestResumeAfterCrash(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.run(t, "earlier", rows(30)) // what was there before must not be taken for rows of this source
	before, _ := f.lines(t)
	want, wantDead := wantLines(200)

	random := rand.New(rand.NewPCG(1, 2))
	written := [partitions]int{}
	writtenDead := 0
	for range 6 {
		im, err := Open(f.ctx, f.config("s"))
		if err != nil {
			t.Fatal(err)
		}
		// What a crash leaves: of each partition some more rows, in order, and an open journal.
		writer, err := stream.NewWriter(f.ctx, f.Cluster, values, stream.WriterConfig{})
		if err != nil {
			t.Fatal(err)
		}
		for p := range written {
			more := random.IntN(min(25, len(want[p])-written[p]))
			for _, line := range want[p][written[p] : written[p]+more] {
				im.writer = writer
				if err := im.row(f.ctx, row(line)); err != nil {
					t.Fatal(err)
				}
			}
			written[p] += more
		}
		if err := writer.Close(); err != nil {
			t.Fatal(err)
		}
		more := random.IntN(min(4, len(wantDead)-writtenDead))
		for _, line := range wantDead[writtenDead : writtenDead+more] {
			if err := im.badRow(f.ctx, &BadRow{Line: line, Raw: fmt.Appendf(nil, "raw %d", line), Err: errors.New("bad row")}); err != nil {
				t.Fatal(err)
			}
		}
		writtenDead += more
		if im.deadWriter != nil {
			if err := im.deadWriter.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}

	// A run that is stopped among the rows of the interrupted ones must not forget them.
	im, err := Open(f.ctx, f.config("s"))
	if err != nil {
		t.Fatal(err)
	}
	stopped, cancel := context.WithCancel(f.ctx)
	source, n := rows(200), 0
	err = im.Run(stopped, func() (Row[string], error) {
		if n++; n == 3 {
			cancel()
		}
		return source()
	})
	if err != nil {
		t.Fatal(err)
	}

	f.run(t, "s", rows(200))
	got, gotDead := f.lines(t)
	for p := range got {
		if diff := cmp.Diff(want[p], got[p][len(before[p]):]); diff != "" {
			t.Errorf("partition %d (-want +got)\n%s", p, diff)
		}
	}
	if diff := cmp.Diff(wantDead, gotDead[3:]); diff != "" {
		t.Errorf("dead letters (-want +got)\n%s", diff)
	}
}

// The end of the context ends the import in peace: the next run goes on behind its last row.
func TestStopAndGoOn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	im, err := Open(f.ctx, f.config("s"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	source, n := rows(100), 0
	err = im.Run(ctx, func() (Row[string], error) {
		if n++; n == 43 {
			cancel()
		}
		return source()
	})
	if err != nil {
		t.Fatalf("Run with a context that ended: %v", err)
	}
	if c := im.Counts(); c.Line >= 101 {
		t.Fatalf("the import was not stopped: %+v", c)
	}
	f.run(t, "other", func() (Row[string], error) { return Row[string]{}, io.EOF }) // the journal is closed, so another source may come
	f.run(t, "s", rows(100))
	f.check(t, 100)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	f := newFixture(t)

	// A source that breaks: what came before is safe, and the next run goes on.
	im, err := Open(f.ctx, f.config("s"))
	if err != nil {
		t.Fatal(err)
	}
	source := rows(50)
	torn := errors.New("torn")
	err = im.Run(f.ctx, func() (Row[string], error) {
		if im.Counts().Line == 30 {
			return Row[string]{}, torn
		}
		return source()
	})
	if !errors.Is(err, torn) {
		t.Fatalf("Run of a torn source: %v, want %v", err, torn)
	}
	f.check(t, 29)

	// A source that has become shorter.
	im, err = Open(f.ctx, f.config("s"))
	if err != nil {
		t.Fatal(err)
	}
	if err := im.Run(f.ctx, rows(10)); !errors.Is(err, ErrShrunk) || !strings.Contains(err.Error(), "ends with line 11, and was read up to line 30") {
		t.Errorf("Run of a shorter source: %v, want ErrShrunk with both lines", err)
	}

	// The journal is open now: only the same source may go on.
	if _, err := Open(f.ctx, f.config("t")); !errors.Is(err, ErrUnfinished) || !strings.Contains(err.Error(), ": s:") {
		t.Errorf("Open of another source: %v, want ErrUnfinished that names s", err)
	}
	f.run(t, "s", rows(50))
	f.check(t, 50)

	cfg := f.config("s")
	cfg.Settings = "by row"
	if _, err := Open(f.ctx, cfg); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), `"by row"`) {
		t.Errorf("Open with other settings: %v, want ErrSettings that names them", err)
	}
}

func TestPacer(t *testing.T) {
	t.Parallel()
	p := newPacer(1000)
	start := time.Now()
	for range 100 {
		p.wait(t.Context())
	}
	if took := time.Since(start); took < 90*time.Millisecond {
		t.Errorf("100 rows at 1000 a second took %v, want a tenth of a second", took)
	}
}
