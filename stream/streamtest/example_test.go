package streamtest_test

import (
	"fmt"
	"log"

	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
)

// script is a test that is none: what it reports ends the program. A test passes its *testing.T, and runs in a bubble of
// testing/synctest, where no real time passes.
type script struct{ cleanups []func() }

func (*script) Helper()                        {}
func (s *script) Cleanup(f func())             { s.cleanups = append(s.cleanups, f) }
func (*script) Errorf(format string, v ...any) { log.Fatalf(format, v...) }
func (*script) Fatalf(format string, v ...any) { log.Fatalf(format, v...) }
func (s *script) end()                         { s.cleanups[0]() }

// Two instances count the visits of pages. One dies after its commit, before it has heard of it.
func ExampleCluster() {
	t := new(script)
	b := stream.NewBuilder("visits")
	b.From(visits).Count(perPage).To(pages)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}

	c := streamtest.NewCluster(t, topology, streamtest.ClusterConfig{Instances: 2, Partitions: 2})
	c.Settle()
	c.CrashAt(0, streamtest.AfterEnd)
	for range 3 {
		c.Write(visits,
			stream.Record[string, string]{Key: "home", Value: "ada", Time: at(1)},
			stream.Record[string, string]{Key: "news", Value: "grace", Time: at(2)},
		)
	}
	c.AwaitCrash(0)
	c.Restart(0)
	c.Settle()
	last := make(map[string]int64)
	for _, r := range c.Read(pages) {
		if r.Value != last[r.Key]+1 {
			fmt.Println("a visit was lost, or counted twice:", r)
		}
		last[r.Key] = r.Value
	}
	fmt.Println(last)
	t.end()
	// Output: map[home:3 news:3]
}
