package group

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestExpired(t *testing.T) {
	t.Parallel()
	at := func(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }
	join := func(g *Group, protocolType string, topics ...string) {
		m := kmsg.NewConsumerMemberMetadata()
		m.Topics = topics
		g.Join(at(0), 1, JoinRequest{
			NewMemberID: "m", SessionTimeout: 10 * time.Second, ProtocolType: protocolType,
			Protocols: []Protocol{{Name: "range", Metadata: m.AppendTo(nil)}},
		})
	}
	stable := func(g *Group) {
		eff := g.Sync(at(0), 2, SyncRequest{MemberID: "m", Generation: 1})
		g.Stored(at(0), eff.Store.Seq, true)
	}
	orders, payments := Place{"orders", 0}, Place{"payments", 0} // committed at 10 s and 20 s
	tests := []struct {
		name   string
		group  func(*Group)
		cutoff int
		want   []Place
	}{
		{"committed by a stranger, too young", func(*Group) {}, 9, nil},
		{"committed by a stranger", func(*Group) {}, 10, []Place{orders}},
		{"waits for a transaction", func(g *Group) { g.AddPending(1, "orders", 0, Committed{}) }, 20, []Place{payments}},
		{"a rebalance is under way", func(g *Group) { join(g, "consumer", "orders") }, 100, nil},
		{"a member reads the topic", func(g *Group) { join(g, "consumer", "orders"); stable(g) }, 100, []Place{payments}},
		{"a member reads we do not know what", func(g *Group) { join(g, "connect"); stable(g) }, 100, nil},
		{"left after the commit, too young", func(g *Group) {
			join(g, "consumer", "orders")
			g.Leave(at(30), []Leaving{{MemberID: "m"}})
		}, 29, nil},
		{"left", func(g *Group) {
			join(g, "consumer", "orders")
			g.Leave(at(30), []Leaving{{MemberID: "m"}})
		}, 30, []Place{orders, payments}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := New("g", Config{})
			g.Apply("orders", 0, Committed{Time: at(10)})
			g.Apply("payments", 0, Committed{Time: at(20)})
			tt.group(g)
			if diff := cmp.Diff(tt.want, g.Expired(at(tt.cutoff))); diff != "" {
				t.Errorf("Expired (-want +got):\n%s", diff)
			}
		})
	}
}

// A tombstone takes back what a transaction is about to commit, also when it is replayed.
func TestForgetTakesPendingOffsets(t *testing.T) {
	t.Parallel()
	g := New("g", Config{})
	g.AddPending(7, "orders", 0, Committed{Offset: 1, Position: 1})
	e, err := Decode(g.Tombstones()[0].Key, nil)
	if err != nil {
		t.Fatalf("Decode: %v", err)
	}
	g.Restore(e)
	if n := g.EndTransaction(7, true, nil); n != 0 || !g.Disposable() {
		t.Errorf("%d offsets were applied after the tombstone, disposable %v", n, g.Disposable())
	}
}
