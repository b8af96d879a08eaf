package stream_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"os"
	"strings"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

var (
	names     = stream.NewTopic("names", serde.String, serde.String)
	greetings = stream.NewTopic("greetings", serde.String, serde.String)
)

func greet() *stream.Topology {
	b := stream.NewBuilder("greeter")
	b.From(names).Map(func(name string) string { return "Hello, " + strings.TrimSpace(name) + "!" }).To(greetings)
	topology, err := b.Build()
	if err != nil {
		log.Fatal(err)
	}
	return topology
}

// A topology on a broker in this process: write its input, process all of it, read its output. On a cluster only
// the second line differs: stream.Kafka("kafka-1:9092").
func ExampleApp_Run() {
	dir, err := os.MkdirTemp("", "greeter")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx, cluster := context.Background(), stream.Embedded(dir)

	if err := cluster.CreateTopics(ctx, 1, names.Name); err != nil {
		log.Fatal(err)
	}
	w, err := stream.NewWriter(ctx, cluster, names, stream.WriterConfig{})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"Ada", " Grace "} {
		if err := w.Write(ctx, stream.Record[string, string]{Key: name, Value: name}); err != nil {
			log.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}

	app, err := stream.NewApp(greet(), cluster, stream.Config{StopAtEnd: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		log.Fatal(err)
	}
	if err := app.Run(ctx); err != nil {
		log.Fatal(err)
	}
	for r, err := range cluster.Read(ctx, greetings) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(r.Offset, r.Value)
	}
	// Output:
	// 0 Hello, Ada!
	// 1 Hello, Grace!
}
