package stream

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream/window"
)

// Tables of several partitions that change all the while end in what a nested loop makes of their last rows, also where
// answers overtake changes: in the foreign-key join.
func TestForeignJoinOnCluster(t *testing.T) {
	t.Parallel()
	orders, customers := NewTopic("orders", serde.String, serde.Bytes), NewTopic("customers", serde.String, serde.Bytes)
	invoices := NewTopic("invoices", serde.String, serde.Bytes)
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "orders", "invoices")
		createTopics(t, c, 2, "customers")
		b := NewBuilder("foreign")
		b.Table(orders).JoinForeign(b.Table(customers), func(v []byte) string { return string(v[:1]) },
			state.NewTableStore("invoices", serde.String, serde.Bytes),
			func(order, customer []byte) []byte { return fmt.Appendf(nil, "%s %s", order, customer) }).
			To(invoices)
		topology := build(t, b)

		rng := rand.New(rand.NewPCG(1, 2))
		left, right := make(map[string]string), make(map[string]string)
		for round := range 3 {
			var changedOrders, changedCustomers []Record[string, []byte]
			change := func(rows map[string]string, key, value string) Record[string, []byte] {
				r := Record[string, []byte]{Key: key, Time: time.UnixMilli(rng.Int64N(1000))}
				if delete(rows, key); rng.IntN(4) > 0 {
					rows[key], r.Value = value, []byte(value)
				}
				return r
			}
			for i := range 300 {
				customer := fmt.Sprint(rng.IntN(5))
				changedOrders = append(changedOrders, change(left, fmt.Sprint("order-", rng.IntN(20)), fmt.Sprintf("%s:%d.%d", customer, round, i)))
				if i%3 == 0 {
					changedCustomers = append(changedCustomers, change(right, customer, fmt.Sprintf("%s@%d.%d", customer, round, i)))
				}
			}
			write(t, c, orders, changedOrders...)
			write(t, c, customers, changedCustomers...)
			runToEnd(t, topology, c, Config{})

			want := make(map[string]string)
			for k, order := range left {
				if customer, ok := right[order[:1]]; ok {
					want[k] = order + " " + customer
				}
			}
			got := make(map[string]string)
			for k, values := range byKey(read(t, c, invoices)) {
				if last := values[len(values)-1]; last != nil {
					got[k] = string(last)
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("invoices after round %d (-want +got):\n%s", round, diff)
			}
		}
	})
}

// Two streams whose records are read from the start, over partitions and restarts, give each pair once, and each record
// that stays alone once.
func TestJoinStreamOnCluster(t *testing.T) {
	t.Parallel()
	left, right := NewTopic("left", serde.String, serde.Int64), NewTopic("right", serde.String, serde.Int64)
	pairs := NewTopic("pairs", serde.String, serde.String)
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "left", "right", "pairs")
		b := NewBuilder("pairing")
		b.From(left).LeftJoinStream(b.From(right), window.Within(10*time.Second).Grace(time.Hour),
			state.NewJoinStore("pairing", serde.String, serde.Int64, serde.Int64),
			func(l int64, r Optional[int64]) string { return fmt.Sprint(l, r) }).
			To(pairs)
		topology := build(t, b)
		want := make(map[string]int)
		backend := state.NewMemory()
		for round := range int64(3) {
			var ls, rs []Record[string, int64]
			for i := range int64(100) {
				at := 100*round + i
				key := fmt.Sprint(at % 7)
				ls = append(ls, Record[string, int64]{Key: key, Value: at, Time: time.Unix(100*at, 0)})
				if at%3 == 0 {
					rs = append(rs, Record[string, int64]{Key: key, Value: at, Time: time.Unix(100*at+10, 0)})
					want[fmt.Sprint(key, "=", at, some(at))]++
				} else {
					want[fmt.Sprint(key, "=", at, Optional[int64]{})]++
				}
			}
			write(t, c, left, ls...)
			write(t, c, right, rs...)
			runToEnd(t, topology, c, Config{Backend: backend})
		}
		// A record of each partition closes all windows.
		var last []Record[string, int64]
		for k := range 40 {
			last = append(last, Record[string, int64]{Key: fmt.Sprint("last-", k), Time: time.Unix(1e6, 0)})
		}
		write(t, c, right, last...)
		runToEnd(t, topology, c, Config{Backend: backend})
		got := make(map[string]int)
		for k, values := range byKey(read(t, c, pairs)) {
			for _, v := range values {
				got[k+"="+v]++
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("pairs (-want +got):\n%s", diff)
		}
	})
}
