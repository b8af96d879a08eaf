package group

import (
	"errors"
	"slices"
	"testing"
	"time"
)

func TestPendingOffsets(t *testing.T) {
	t.Parallel()
	g := New("g", Config{})
	at := func(offset, position int64) Committed { return Committed{Offset: offset, Position: position} }
	g.Apply("orders", 0, at(1, 1))
	g.AddPending(7, "orders", 0, at(10, 2))
	g.AddPending(7, "orders", 0, at(11, 3))
	g.AddPending(7, "orders", 1, at(20, 3))
	g.AddPending(8, "orders", 0, at(30, 4))
	if g.Disposable() {
		t.Error("a group with pending offsets is disposable")
	}
	if got := g.PendingPartitions("orders"); !slices.Equal(got, []int32{0, 1}) {
		t.Errorf("PendingPartitions = %v, want 0 and 1", got)
	}
	if c, _ := g.Committed("orders", 0); c.Offset != 1 {
		t.Errorf("the offset is %d before the end of the transaction, want 1", c.Offset)
	}
	if n := g.EndTransaction(8, false, nil); n != 0 {
		t.Errorf("an abort applied %d offsets", n)
	}
	// A commit outside of the transaction, and after it, wins.
	g.Apply("orders", 1, at(99, 5))
	if n := g.EndTransaction(7, true, nil); n != 2 {
		t.Errorf("a commit applied %d offsets, want 2", n)
	}
	for partition, want := range map[int32]int64{0: 11, 1: 99} {
		if c, _ := g.Committed("orders", partition); c.Offset != want || g.HasPending("orders", partition) {
			t.Errorf("partition %d has offset %d, pending %v, want %d", partition, c.Offset, g.HasPending("orders", partition), want)
		}
	}
	if ids := g.PendingProducers(); len(ids) != 0 {
		t.Errorf("pending producers %v are left", ids)
	}
	// What may not be applied any more is dropped.
	g.AddPending(7, "gone", 0, at(1, 9))
	if n := g.EndTransaction(7, true, func(string, Committed) bool { return false }); n != 0 {
		t.Errorf("%d offsets were applied, want none", n)
	}
}

func TestCheckTxnCommit(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1000)
	g := New("g", Config{})
	if err := g.CheckTxnCommit(now, CommitRequest{Generation: -1}); err != nil {
		t.Errorf("a client without a group: %v", err)
	}
	g.Join(now, 1, JoinRequest{
		NewMemberID: "m", SessionTimeout: 10 * time.Second, ProtocolType: "consumer",
		Protocols: []Protocol{{Name: "range"}},
	})
	for name, c := range map[string]struct {
		r    CommitRequest
		want error
	}{
		"member":          {CommitRequest{MemberID: "m", Generation: g.Generation()}, nil},
		"generation":      {CommitRequest{MemberID: "m", Generation: g.Generation() - 1}, ErrIllegalGeneration},
		"unknown":         {CommitRequest{MemberID: "x", Generation: g.Generation()}, ErrUnknownMember},
		"unknown at -1":   {CommitRequest{MemberID: "x", Generation: -1}, ErrUnknownMember},
		"says nothing":    {CommitRequest{Generation: -1}, nil},
		"nameless member": {CommitRequest{Generation: g.Generation()}, ErrUnknownMember},
	} {
		if err := g.CheckTxnCommit(now, c.r); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
