package replies

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

var (
	questions = stream.NewTopic("questions", serde.String, serde.String)
	answers   = stream.NewTopic("answers", serde.String, serde.String)
)

// shout answers a question by its text in capitals. It does not answer questions of nothing.
func shout(t *testing.T) *stream.Topology {
	t.Helper()
	b := stream.NewBuilder("shout")
	b.From(questions).Filter(func(q string) bool { return q != "" }).Map(strings.ToUpper).To(answers)
	topology, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return topology
}

// open starts a topology and a desk in a directory, and returns a function that ends both.
func open(t *testing.T, dir string, cfg Config) (*Desk[string, string], func()) {
	t.Helper()
	cluster := stream.Embedded(dir)
	if err := cluster.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.CreateTopics(t.Context(), 2, questions.Name, answers.Name); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), cfg, cluster, questions, answers)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := stream.Run(ctx, shout(t), cluster); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	return d, sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := errors.Join(d.Close(), cluster.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestRequestAndReply(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, end := open(t, dir, Config{})
	defer end()
	var asking sync.WaitGroup
	for i := range 50 {
		asking.Go(func() {
			id := fmt.Sprint("id", i%25) // each id twice
			got, err := d.Do(t.Context(), id, []byte(id), "key"+id, "question "+id, time.Now())
			if want := "QUESTION " + strings.ToUpper(id); err != nil || got != want {
				t.Errorf("the reply to %s is %q, %v, want %q", id, got, err, want)
			}
		})
	}
	asking.Wait()
	if n := d.Waiting(); n != 0 {
		t.Errorf("%d requests wait", n)
	}
	if _, err := d.Do(t.Context(), "id1", []byte("other"), "keyid1", "another question", time.Now()); !errors.Is(err, ErrOtherContent) {
		t.Errorf("an id with other content: %v", err)
	}
	if _, err := d.Find("nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown id: %v", err)
	}

	// What is not answered in time is pending; so it is for who asks again.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		if _, err := d.Do(ctx, "late", nil, "k", "", time.Now()); !errors.Is(err, ErrPending) || !errors.Is(err, context.Canceled) {
			t.Errorf("without an answer: %v", err)
		}
	}
	end()

	// After a restart the replies are known, and nothing is written twice.
	d, end = open(t, dir, Config{})
	defer end()
	got, err := d.Do(t.Context(), "new", nil, "k", "hello", time.Now())
	if err != nil || got != "HELLO" {
		t.Fatalf("after a restart: %q, %v", got, err)
	}
	if got, err := d.Do(t.Context(), "id1", []byte("id1"), "keyid1", "question id1", time.Now()); err != nil || got != "QUESTION ID1" {
		t.Errorf("a request of before the restart: %q, %v", got, err)
	}
	if _, err := d.Do(t.Context(), "id1", []byte("other"), "keyid1", "another question", time.Now()); !errors.Is(err, ErrOtherContent) {
		t.Errorf("after a restart, an id with other content: %v", err)
	}
	n := 0
	for _, err := range d.cluster.Read(t.Context(), questions) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 27 {
		t.Errorf("%d questions were written, want one for each of 25 ids, the late one, and hello", n)
	}
}

func TestTooManyWait(t *testing.T) {
	t.Parallel()
	d, end := open(t, t.TempDir(), Config{MaxWaiting: 1})
	defer end()
	ctx, cancel := context.WithCancel(t.Context())
	var waiting sync.WaitGroup
	waiting.Go(func() { _, _ = d.Do(ctx, "silence", nil, "k", "", time.Now()) })
	for d.Waiting() == 0 {
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
	if _, err := d.Do(t.Context(), "one-more", nil, "k", "x", time.Now()); !errors.Is(err, ErrBusy) {
		t.Errorf("one more request: %v", err)
	}
	if _, err := d.Find("silence"); !errors.Is(err, ErrPending) {
		t.Errorf("the one that waits: %v", err)
	}
	if _, err := d.Do(t.Context(), "two words", nil, "k", "x", time.Now()); err == nil {
		t.Error("an id with a space is accepted")
	}
	cancel()
	waiting.Wait()
}

// The memory has the latest replies and no more bytes than allowed, whatever comes.
func TestMemory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newMemory(2000)
		var model []string
		for range rapid.IntRange(1, 200).Draw(t, "replies") {
			id := fmt.Sprint(rapid.IntRange(0, 50).Draw(t, "id"))
			_, known := m.get(id)
			m.add(id, kept{"sum", make([]byte, rapid.IntRange(0, 3000).Draw(t, "bytes"))})
			if !known {
				model = append(model, id)
			}
			model = model[max(0, len(model)-len(m.byID)):]
			if m.bytes > m.most && len(m.byID) > 1 {
				t.Fatalf("%d bytes are kept in %d replies", m.bytes, len(m.byID))
			}
			var bytes int64
			for _, id := range model {
				k, ok := m.get(id)
				if !ok {
					t.Fatalf("reply %s is forgotten before an older one", id)
				}
				bytes += size(id, k)
			}
			if bytes != m.bytes {
				t.Fatalf("%d bytes are kept, %d counted", bytes, m.bytes)
			}
		}
	})
}
