package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/internal/reliability"
)

// addPartitions gives a topic more partitions.
func addPartitions(t *testing.T, c *Cluster, topic string, set int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers("in-memory:9092"), kgo.Dialer(c.Dial))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	answers, err := kadm.NewClient(cl).UpdatePartitions(t.Context(), set, topic)
	if err == nil {
		err = answers.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// More partitions of a topic whose keys have state, while it is written and read: the application ends and says what to do, the next
// run does not start. Until it ends, keys that move between the partitions that there were are counted anew in their other task.
func TestPartitionsAddedUnderLoad(t *testing.T) {
	t.Parallel()
	for i := range reliability.Figure(3, 20) {
		t.Run(fmt.Sprint("seed=", i), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(i), 28))
			c := openCluster(t, Embedded(t.TempDir()))
			createTopics(t, c, 2, "lines")
			topology := counting(t)
			app, err := NewApp(topology, c, quiet(Config{CommitInterval: 10 * time.Millisecond}))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- app.Run(ctx) }()
			at, partitions := 1+rng.IntN(30), 3+rng.IntN(5)
			running := true
			for n := 0; running; n++ {
				if n == at {
					addPartitions(t, c, "lines", partitions)
				}
				write(t, c, lines, someLines(20, 7)...)
				select {
				case err = <-ended:
					running = false
				default:
				}
			}
			// The group has given out a new partition first, or the application has looked at its topics first.
			if err == nil || !strings.Contains(err.Error(), "rename the application") && !strings.Contains(err.Error(), "under another name") || !strings.Contains(err.Error(), "lines has") {
				t.Errorf("Run returned %v, want that the partitions of lines have grown, and the remedy", err)
			}
			again, err := NewApp(topology, c, quiet(Config{StopAtEnd: true}))
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Run(ctx); err == nil || !strings.Contains(err.Error(), "has 2 partitions") {
				t.Errorf("the next Run returned %v, want that the changelog has 2 partitions", err)
			}
		})
	}
}
