package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/internal/duplicates"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

func ExampleTopology() {
	topology, err := Topology(time.Hour)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(topology)
	// Output:
	// source rows
	// processor once store=seen <- rows
	// processor once-branch-1 <- once
	// processor once-map-1 <- once-branch-1.yes
	// sink unique <- once-map-1
	// processor once-map-2 <- once-branch-1.no
	// sink duplicates <- once-map-2
}

// A duplicate says where the first row of its kind lies, also after a restart.
func TestTopology(t *testing.T) {
	t.Parallel()
	topology, err := Topology(time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	start := time.Date(2011, 1, 1, 8, 0, 0, 0, time.UTC)
	d.Pipe(Rows, "k", "k,first", start)
	d.Pipe(Rows, "l", "l,first", start)
	d.Restart()
	d.Pipe(Rows, "k", "k,again", start.Add(time.Hour-time.Millisecond))
	d.Pipe(Rows, "k", "k,late enough", start.Add(time.Hour))

	var unique []string
	for _, r := range d.Read(Unique) {
		unique = append(unique, r.Value)
	}
	if diff := cmp.Diff([]string{"k,first", "l,first", "k,late enough"}, unique); diff != "" {
		t.Errorf("unique (-want +got)\n%s", diff)
	}
	var duplicates []Duplicate
	for _, r := range d.Read(Duplicates) {
		duplicates = append(duplicates, r.Value)
	}
	want := []Duplicate{{Row: "k,again", First: Place{Topic: "rows", Partition: 0, Offset: 0, Time: start}}}
	if diff := cmp.Diff(want, duplicates); diff != "" {
		t.Errorf("duplicates (-want +got)\n%s", diff)
	}
}

// Verdicts are counted by windows of time, in each partition; what comes late for a window is told in another count.
func TestTally(t *testing.T) {
	t.Parallel()
	o := newDetection()
	o.ttlTime, o.tally, o.percent = "arrival", time.Hour, 1
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	topology, err := PaymentsTopology(o)
	if err != nil {
		t.Fatal(err)
	}
	d := streamtest.New(t, topology)
	nine := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	pay := func(id string, after time.Duration) {
		d.Pipe(Payments, "card", Payment{ID: id, Card: "card", Terminal: id, Amount: 1200, At: nine}, nine.Add(after))
	}
	pay("a", 0)
	pay("a", time.Minute)
	pay("b", time.Hour-time.Millisecond)
	d.Restart()
	pay("c", time.Hour)
	pay("late", 10*time.Minute)
	pay("d", 3*time.Hour)

	count := func(hour int, unique, exact, saved int64) Count {
		from := nine.Add(time.Duration(hour) * time.Hour)
		return Count{From: from, To: from.Add(time.Hour), Saved: saved, Verdicts: map[duplicates.Verdict]int64{
			duplicates.Unique: unique, duplicates.Exact: exact, duplicates.Conflict: 0, duplicates.Double: 0, duplicates.Near: 0,
		}}
	}
	want := []Count{count(0, 2, 1, 1200), count(0, 1, 0, 0), count(1, 1, 0, 0)}
	if diff := cmp.Diff(want, d.Values(Counts)); diff != "" {
		t.Errorf("counts (-want +got)\n%s", diff)
	}
	if n := d.Size(tallies.Spec().Name); n != 1 {
		t.Errorf("%d windows are kept, want the one that is not over", n)
	}
}
