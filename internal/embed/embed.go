package embed

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Addr is the address to give a client as its seed. Nothing listens there: Dial leads every address to the broker.
const Addr = "riffle-embedded:9092"

// Broker is a running broker that is reached in memory only.
type Broker struct{ b *broker.Broker }

// Start opens the broker in dir, which is made if it is missing. One process at a time may use it. logger and
// registerer may be nil.
func Start(dir string, logger *slog.Logger, registerer prometheus.Registerer) (*Broker, error) {
	return start(broker.Config{Dir: dir, Logger: logger, Registerer: registerer})
}

// StartIn is Start for a broker that keeps everything in a file system, which the caller closes.
func StartIn(fs vfs.FS, logger *slog.Logger, registerer prometheus.Registerer) (*Broker, error) {
	return start(broker.Config{FS: fs, Logger: logger, Registerer: registerer})
}

func start(cfg broker.Config) (*Broker, error) {
	b, err := broker.Start(cfg)
	if err != nil {
		return nil, fmt.Errorf("embed: %w", err)
	}
	return &Broker{b}, nil
}

// Dial connects to the broker, whatever the address.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) { return b.b.Dial(ctx) }

// Close stops the broker. What it acknowledged is durable; when ctx ends first, connections are cut.
func (b *Broker) Close(ctx context.Context) error { return b.b.Stop(ctx) }
