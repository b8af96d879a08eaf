package txn

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// client is a producer that believes to have the transactional id.
type client struct {
	Producer
	version Version
	fenced  bool // a later one was let in, or its transaction took too long
	open    bool // it has written since the last end
	written int  // number of the transaction that it wrote to
	lost    bool // the answer to its last end; it asks again
	commit  bool // what it asks for
}

// world is all clients that ever were, and the coordinator, whose record is lost or
// kept at will.
type world struct {
	t       Txn
	now     time.Time
	nextID  int64
	clients []*client
	// outcome of each transaction, by number: decided once and for all.
	outcome map[int]bool
	number  int
	decided bool // outcome[number] is there
}

func (w *world) newID() (int64, error) { w.nextID++; return w.nextID, nil }

// take makes next the state, as if it were stored, and checks what may never happen.
func (w *world) take(t *rapid.T, next Txn) {
	before := w.t
	if next.ProducerID == before.ProducerID && next.Epoch < before.Epoch {
		t.Fatalf("the epoch went from %d back to %d", before.Epoch, next.Epoch)
	}
	if next.State == Ongoing && before.State != Ongoing {
		if before.Preparing() {
			t.Fatal("a transaction began before the last one was complete")
		}
		w.number++
		w.decided = false
	}
	if next.Preparing() && !before.Preparing() {
		if w.decided && before.State == Ongoing {
			t.Fatal("a transaction was decided twice")
		}
		if before.State == Ongoing {
			w.outcome[w.number], w.decided = next.State == PrepareCommit, true
		}
		if !slices.Equal(next.Partitions, before.Partitions) && before.State == Ongoing {
			t.Fatalf("markers for %v, the transaction had %v", next.Partitions, before.Partitions)
		}
	}
	w.t = next
}

// fenceAll says that everybody but one is out.
func (w *world) fenceAll(but *client) {
	for _, c := range w.clients {
		if c != but {
			c.fenced = true
		}
	}
}

// Whatever clients do, in whatever order, with answers lost and coordinators restarted:
// epochs only grow, a transaction is decided once, whoever is fenced changes nothing,
// and who was told that a transaction is committed was told the truth.
func TestTxnAgainstModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{t: New("tx"), now: time.UnixMilli(1_000_000), outcome: map[int]bool{}}
		pick := func(t *rapid.T) *client {
			if len(w.clients) == 0 {
				t.Skip("no clients")
			}
			return w.clients[max(0, len(w.clients)-1-rapid.IntRange(0, 2).Draw(t, "back"))]
		}
		actions := map[string]func(*rapid.T){
			"start": func(t *rapid.T) {
				next, changed, err := w.t.Init(w.now, InitRequest{Timeout: time.Minute, MaxTimeout: time.Hour, Present: Producer{NoID, NoEpoch}}, w.newID)
				if changed {
					w.take(t, next)
					w.fenceAll(nil)
				}
				if err != nil {
					if !errors.Is(err, ErrConcurrent) {
						t.Fatalf("Init: %v", err)
					}
					return
				}
				c := &client{Producer: next.Current(), version: TV1}
				if rapid.Bool().Draw(t, "tv2") {
					c.version = TV2
				}
				w.clients = append(w.clients, c)
			},
			"write": func(t *rapid.T) {
				c := pick(t)
				if c.lost {
					t.Skip("it asks for the end first")
				}
				at := Partition{"orders", rapid.Int32Range(0, 3).Draw(t, "partition")}
				next, changed, err := w.t.Add(w.now, c.Producer, c.version, []Partition{at})
				switch {
				case err == nil && c.fenced:
					t.Fatalf("a fenced producer %+v may write", c)
				case err == nil:
					if changed {
						w.take(t, next)
					}
					if err := w.t.Verify(c.Producer, at); err != nil {
						t.Fatalf("Verify after Add: %v", err)
					}
					c.open, c.written = true, w.number
				case !c.fenced && !errors.Is(err, ErrConcurrent):
					t.Fatalf("Add for %+v in %v: %v", c, w.t.State, err)
				}
			},
			"end": func(t *rapid.T) {
				c := pick(t)
				if !c.lost {
					c.commit = rapid.Bool().Draw(t, "commit")
				}
				commit := c.commit
				next, changed, err := w.t.End(w.now, c.Producer, commit, c.version, w.newID)
				if err == nil && changed && c.fenced {
					t.Fatalf("a fenced producer %+v ends a transaction", c)
				}
				if changed && err == nil {
					w.take(t, next)
				}
				if err != nil {
					return
				}
				if c.open && !c.fenced && w.outcome[c.written] != commit {
					t.Fatalf("%+v heard that transaction %d ended with commit=%v, it ended with %v", c, c.written, commit, w.outcome[c.written])
				}
				if c.lost = rapid.Bool().Draw(t, "lost"); c.lost {
					return // and it will ask again, with the epoch that it has
				}
				current := next.Current()
				if next.NextID != NoID {
					current = Producer{next.NextID, 0}
				}
				if c.version == TV2 && !c.fenced {
					c.Producer = current
				}
				c.open = false
			},
			"complete": func(t *rapid.T) {
				next, err := w.t.Complete(w.now)
				if (err == nil) != w.t.Preparing() {
					t.Fatalf("Complete in %v: %v", w.t.State, err)
				}
				if err == nil {
					w.take(t, next)
				}
			},
			"wait": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
				next, changed := w.t.Tick(w.now, 1000*time.Hour)
				deadline := w.t.Deadline(1000 * time.Hour)
				if due := !deadline.IsZero() && !deadline.After(w.now); due != changed {
					t.Fatalf("Tick = %v, due %v", changed, due)
				}
				if changed {
					w.take(t, next)
					w.fenceAll(nil)
				}
			},
			"many": func(*rapid.T) {
				if w.t.State == Empty && w.t.ProducerID != NoID && w.t.PreviousEpoch == NoEpoch {
					for _, c := range w.clients {
						if c.Producer == w.t.Current() {
							c.Epoch = lastEpoch
						}
					}
					w.t.Epoch = lastEpoch
				}
			},
			"restart": func(t *rapid.T) {
				if w.t.ProducerID == NoID {
					return
				}
				r := w.t.Record()
				back, err := Decode(r.Key, r.Value)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(w.t, back); diff != "" {
					t.Fatalf("a restart changed (-before +after):\n%s", diff)
				}
				w.t = back
			},
		}
		t.Repeat(actions)
	})
}

// Decode never panics, and what it accepts is what Record writes.
func FuzzDecode(f *testing.F) {
	x := New("tx")
	x.ProducerID, x.Epoch, x.Timeout = 5, 3, time.Minute
	f.Add(x.Record().Key, x.Record().Value)
	x, _, _ = x.Add(time.UnixMilli(5), Producer{5, 3}, TV2, []Partition{{"a", 1}, {"a", 2}, {"b", 0}})
	x, _, _ = x.End(time.UnixMilli(6), Producer{5, 3}, true, TV2, nil)
	f.Add(x.Record().Key, x.Record().Value)
	x.State = Dead
	f.Add(x.Record().Key, x.Record().Value)
	f.Fuzz(func(t *testing.T, key, value []byte) {
		got, err := Decode(key, value)
		if err != nil {
			if !errors.Is(err, ErrCorruptRecord) && !errors.Is(err, ErrUnknownRecord) {
				t.Errorf("Decode: %v, want ErrCorruptRecord or ErrUnknownRecord", err)
			}
			return
		}
		r := got.Record()
		again, err := Decode(r.Key, r.Value)
		if err != nil {
			t.Fatalf("Decode of its own record: %v", err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Errorf("a record changes when it is written again (-first +second):\n%s", diff)
		}
	})
}
