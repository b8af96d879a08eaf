package quota_test

import (
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/broker/quota"
)

// Each user may produce 1 MB a second.
func ExampleMeter() {
	table := quota.NewTable(map[quota.Entity]quota.Limits{{User: quota.Default}: {quota.Produce: 1e6}})
	meter, now := quota.NewMeter(quota.MeterConfig{Window: time.Second}), time.Unix(1000, 0)
	for range 3 {
		share, _ := table.Share(quota.Produce, "alice", "app")
		fmt.Println(meter.Count(share, 600_000, now))
	}
	// Output:
	// 0s
	// 200ms
	// 800ms
}
