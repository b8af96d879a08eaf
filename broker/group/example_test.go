package group_test

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/broker/group"
)

// A group with one member: the join forms a generation, the sync of the leader
// assigns, and the assignment counts when its record is durable.
func Example() {
	now := time.UnixMilli(0)
	g := group.New("payments", group.Config{})

	eff := g.Join(now, 1, group.JoinRequest{
		NewMemberID:    "m-1",
		SessionTimeout: 10 * time.Second,
		ProtocolType:   "consumer",
		Protocols:      []group.Protocol{{Name: "range"}},
	})
	joined := eff.Replies[0].Join
	fmt.Println(joined.MemberID, "leads generation", joined.Generation)

	eff = g.Sync(now, 2, group.SyncRequest{
		MemberID:    "m-1",
		Generation:  1,
		Assignments: []group.Assignment{{MemberID: "m-1", Data: []byte("all partitions")}},
	})
	fmt.Println("answers before the record is durable:", len(eff.Replies))

	eff = g.Stored(now, eff.Store.Seq, true)
	fmt.Printf("%s, %v\n", eff.Replies[0].Sync.Assignment, g.State())

	expired, _ := g.Tick(g.Deadline())
	fmt.Println(expired[0].MemberID, expired[0].Reason)
	// Output:
	// m-1 leads generation 1
	// answers before the record is durable: 0
	// all partitions, Stable
	// m-1 session timed out
}
