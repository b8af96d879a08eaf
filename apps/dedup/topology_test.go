package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
