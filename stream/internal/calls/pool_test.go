package calls

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func config(change func(*Config)) Config {
	cfg := Config{
		MaxInFlight: 2, Timeout: time.Second, Attempts: 3, Backoff: 100 * time.Millisecond, MaxBackoff: 150 * time.Millisecond,
		Context: context.Background(), Go: func(f func()) { go f() },
	}
	if change != nil {
		change(&cfg)
	}
	return cfg
}

// journal notes what calls do, with the time since its start.
type journal struct {
	start time.Time
	mu    struct {
		sync.Mutex
		lines []string
	}
}

func newJournal() *journal { return &journal{start: time.Now()} }

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.mu.lines = append(j.mu.lines, fmt.Sprintf("%v ", time.Since(j.start))+fmt.Sprintf(format, args...))
}

func (j *journal) check(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if diff := cmp.Diff(want, j.mu.lines); diff != "" {
		t.Errorf("what calls did (-want +got):\n%s", diff)
	}
}

// sleep is a call that takes a time.
func (j *journal) sleep(name string, d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		j.note("%s begins", name)
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			j.note("%s: %v", name, ctx.Err())
			return ctx.Err()
		}
	}
}

func nothing() {}

// Two at a time; the calls of a key one after the other, and the oldest that can begin goes first.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		p := New(config(nil))
		for i, key := range []string{"a", "a", "b", "c", "", ""} {
			name := fmt.Sprint(key, i)
			var k []byte
			if key != "" {
				k = []byte(key)
			}
			p.Go(k, j.sleep(name, time.Duration(300+i)*time.Millisecond), func() { j.note("%s over", name) })
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		j.check(t,
			"0s a0 begins", "0s b2 begins",
			"300ms a0 over", "300ms a1 begins",
			"302ms b2 over", "302ms c3 begins",
			"601ms a1 over", "601ms 4 begins",
			"605ms c3 over", "605ms 5 begins",
			"905ms 4 over", "910ms 5 over")
	})
}

func TestUnordered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		p := New(config(func(c *Config) { c.Unordered = true }))
		for range 2 {
			p.Go([]byte("a"), j.sleep("a", time.Second/2), func() { j.note("over") })
		}
		time.Sleep(time.Minute)
		j.check(t, "0s a begins", "0s a begins", "500ms over", "500ms over")
	})
}

// An attempt that fails or takes too long is followed by others, after pauses that double up to a limit.
func TestAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		p := New(config(func(c *Config) {
			c.Attempts = 4
			c.Ended = func(took time.Duration, failures int) { j.note("took %v, %d failures", took, failures) }
		}))
		c := p.Go(nil, j.sleep("call", time.Hour), nothing)
		time.Sleep(time.Minute)
		if !c.Done() || !errors.Is(c.Err(), context.DeadlineExceeded) || !strings.Contains(c.Err().Error(), "no answer within 1s") ||
			!strings.Contains(c.Err().Error(), "attempt 4") {
			t.Errorf("Err() = %v", c.Err())
		}
		j.check(t,
			"0s call begins", "1s call: context deadline exceeded",
			"1.1s call begins", "2.1s call: context deadline exceeded",
			"2.25s call begins", "3.25s call: context deadline exceeded",
			"3.4s call begins", "4.4s call: context deadline exceeded", "4.4s took 4.4s, 4 failures")
	})
}

func TestErrorsThatStay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		forGood, n := errors.New("for good"), 0
		p := New(config(func(c *Config) { c.Permanent = func(err error) bool { return errors.Is(err, forGood) } }))
		c := p.Go(nil, func(context.Context) error {
			if n++; n == 2 {
				return forGood
			}
			return errors.New("again")
		}, nothing)
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(c.Err(), forGood) || n != 2 {
			t.Errorf("Err() = %v after %d attempts, want the second to be the last", c.Err(), n)
		}
		n = 0
		if err := p.Do(func(context.Context) error { n++; return nil }); err != nil || n != 1 {
			t.Errorf("Do() = %v after %d attempts", err, n)
		}
	})
}

// Closing cancels what is under way, between two attempts too, and what waits is not called.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		j := newJournal()
		p := New(config(nil))
		p.Go(nil, j.sleep("slow", time.Minute), nothing)
		p.Go(nil, func(context.Context) error { return errors.New("again") }, nothing)
		waits := p.Go(nil, j.sleep("waits", 0), nothing)
		time.Sleep(50 * time.Millisecond)
		p.Close()
		synctest.Wait()
		if !errors.Is(waits.Err(), context.Canceled) {
			t.Errorf("a call that waited has the error %v", waits.Err())
		}
		j.check(t, "0s slow begins", "50ms slow: context canceled")
	})
}

// The model: whatever the calls, each is made once, never more at a time than allowed, and those of a key in order.
func TestModel(t *testing.T) {
	t.Parallel()
	type call struct {
		key   string
		pause time.Duration // before it is given
		takes time.Duration
	}
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(1, 4).Draw(rt, "limit")
		script := make([]call, rapid.IntRange(1, 40).Draw(rt, "calls"))
		for i := range script {
			script[i] = call{
				rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(rt, "key"),
				time.Duration(rapid.IntRange(0, 3).Draw(rt, "pause")) * time.Millisecond,
				time.Duration(rapid.IntRange(0, 9).Draw(rt, "takes")) * time.Millisecond,
			}
		}
		var wrong []string
		synctest.Test(t, func(*testing.T) {
			var mu sync.Mutex
			running, order := make(map[string]int), make(map[string][]int)
			all := 0
			p := New(config(func(c *Config) { c.MaxInFlight = limit }))
			for i, c := range script {
				time.Sleep(c.pause)
				var key []byte
				if c.key != "" {
					key = []byte(c.key)
				}
				p.Go(key, func(context.Context) error {
					mu.Lock()
					all, running[c.key] = all+1, running[c.key]+1
					order[c.key] = append(order[c.key], i)
					if all > limit {
						wrong = append(wrong, fmt.Sprintf("%d calls at a time", all))
					}
					if c.key != "" && running[c.key] > 1 {
						wrong = append(wrong, fmt.Sprintf("%d calls of %s at a time", running[c.key], c.key))
					}
					mu.Unlock()
					time.Sleep(c.takes)
					mu.Lock()
					all, running[c.key] = all-1, running[c.key]-1
					mu.Unlock()
					return nil
				}, nothing)
			}
			time.Sleep(time.Hour)
			synctest.Wait()
			made := 0
			for key, calls := range order {
				made += len(calls)
				if key != "" && !slices.IsSorted(calls) { // calls without a key have no order
					wrong = append(wrong, fmt.Sprintf("calls of %q in the order %v", key, calls))
				}
			}
			if made != len(script) {
				wrong = append(wrong, fmt.Sprintf("%d calls made of %d", made, len(script)))
			}
		})
		if len(wrong) > 0 {
			rt.Fatalf("%v", wrong)
		}
	})
}
