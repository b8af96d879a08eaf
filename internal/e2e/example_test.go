package e2e_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

var (
	Payments = stream.NewTopic("payments", serde.String, serde.Int64)
	Totals   = stream.NewTopic("totals", serde.String, serde.Int64)

	total = state.NewKeyValueStore("total", serde.String, serde.Int64)
)

// sum keeps a running total per card.
func sum(c *stream.Context[string, int64], r stream.Record[string, int64]) error {
	total := total.In(c)
	spent, _, err := total.Get(r.Key)
	if err != nil {
		return err
	}
	spent += r.Value
	if err := total.Put(r.Key, spent); err != nil {
		return err
	}
	return c.Forward(r.Key, spent)
}

func Topology() (*stream.Topology, error) {
	b := stream.NewBuilder("totals")
	b.From(Payments).Process("sum", sum, total).To(Totals)
	return b.Build()
}

// The program of the README, with a writer and a reader around it.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "riffle-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := payAndSum(ctx, stream.Embedded(dir)); err != nil {
		log.Fatal(err)
	}
	// Output:
	// anna 10
	// bert 20
	// anna 40
}

func payAndSum(ctx context.Context, cluster *stream.Cluster) error {
	if err := cluster.Open(ctx); err != nil {
		return err
	}
	defer cluster.Close()
	if err := cluster.CreateTopics(ctx, 1, Payments.Name); err != nil {
		return err
	}
	payments, err := stream.NewWriter(ctx, cluster, Payments, stream.WriterConfig{})
	if err != nil {
		return err
	}
	for _, p := range []stream.Record[string, int64]{{Key: "anna", Value: 10}, {Key: "bert", Value: 20}, {Key: "anna", Value: 30}} {
		if err := payments.Write(ctx, p); err != nil {
			return err
		}
	}
	if err := payments.Close(); err != nil {
		return err
	}

	topology, err := Topology()
	if err != nil {
		return err
	}
	// A service would be stream.Run(ctx, topology, cluster); this one ends with its input.
	app, err := stream.NewApp(topology, cluster, stream.Config{StopAtEnd: true})
	if err != nil {
		return err
	}
	if err := app.Run(ctx); err != nil {
		return err
	}
	for r, err := range cluster.Read(ctx, Totals) {
		if err != nil {
			return err
		}
		fmt.Println(r.Key, r.Value)
	}
	return nil
}

// How a service runs a topology: until ctx ends.
func Example_run() {
	ctx := context.Background()
	topology, err := Topology()
	if err != nil {
		log.Fatal(err)
	}
	err = stream.Run(ctx, topology, stream.Embedded("data")) // or stream.Kafka("kafka-1:9092")
	if err != nil {
		log.Fatal(err)
	}
}
