package broker_test

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/broker"
)

// A broker inside the process, reached by a client over memory.
func ExampleStart() {
	dir, err := os.MkdirTemp("", "riffle")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	b, err := broker.Start(broker.Config{Dir: dir, AutoCreateTopics: true})
	if err != nil {
		panic(err)
	}
	defer b.Stop(context.Background())

	cl, err := kgo.NewClient(
		kgo.SeedBrokers("riffle"), // any name: there is one broker behind the dialer
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) { return b.Dial(ctx) }),
		kgo.AllowAutoTopicCreation(),
		kgo.ConsumeTopics("greetings"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		panic(err)
	}
	defer cl.Close()
	ctx := context.Background()
	if err := cl.ProduceSync(ctx, &kgo.Record{Topic: "greetings", Value: []byte("hello")}).FirstErr(); err != nil {
		panic(err)
	}
	for _, r := range cl.PollFetches(ctx).Records() {
		fmt.Printf("%s at offset %d\n", r.Value, r.Offset)
	}
	// Output: hello at offset 0
}
