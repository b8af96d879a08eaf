package launch

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/stream"
)

// Cluster opens the cluster of brokers, or without any the one embedded in dir. It tells logger and
// registerer, which may be nil, of itself. The caller closes it.
func Cluster(ctx context.Context, dir string, brokers []string, logger *slog.Logger, registerer prometheus.Registerer) (*stream.Cluster, error) {
	cluster := stream.Embedded(dir)
	if len(brokers) > 0 {
		cluster = stream.Kafka(brokers...)
	}
	cluster.Observe(logger, registerer)
	if err := cluster.Open(ctx); err != nil {
		return nil, err
	}
	return cluster, nil
}
