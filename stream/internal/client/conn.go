package client

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// Conn says how to reach a cluster.
type Conn struct {
	// Seeds are the addresses to start from, as "host:port".
	Seeds []string
	// Dial replaces the network, for a broker in the same process. Nil dials TCP.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS, if set, encrypts connections; Login, if set, proves who the client is.
	TLS   *tls.Config
	Login sasl.Mechanism
	// Compress lets the producer compress its batches. A broker in the same process gains nothing from it.
	Compress bool
	// Logger receives what the client library says, at debug level; its warnings and errors at their own level.
	// Nil logs nothing.
	Logger *slog.Logger
}

// options returns what every client of this cluster needs.
func (c Conn) options(clientID string) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(c.Seeds...),
		kgo.ClientID(clientID),
		// A broker that restarts closes connections before their first answer. The library would take that for
		// a misconfigured login and give up.
		kgo.AlwaysRetryEOF(),
		kgo.DisableClientMetrics(),
	}
	if c.Dial != nil {
		opts = append(opts, kgo.Dialer(c.Dial))
	}
	if c.TLS != nil {
		opts = append(opts, kgo.DialTLSConfig(c.TLS))
	}
	if c.Login != nil {
		opts = append(opts, kgo.SASL(c.Login))
	}
	if c.Logger != nil {
		opts = append(opts, kgo.WithLogger(logAdapter{c.Logger}))
	}
	return opts
}

// open starts a bare client for administration or direct reading.
func (c Conn) open(clientID string, more ...kgo.Opt) (*kgo.Client, error) {
	cl, err := kgo.NewClient(append(c.options(clientID), more...)...)
	if err != nil {
		return nil, fmt.Errorf("client: open %s: %w", clientID, err)
	}
	return cl, nil
}

// logAdapter shows the library's log at a level below its own: what is news to the library's developers is
// a detail to the user of an application.
type logAdapter struct{ to *slog.Logger }

// Level implements kgo.Logger.
func (l logAdapter) Level() kgo.LogLevel {
	ctx := context.Background()
	switch {
	case l.to.Enabled(ctx, slog.LevelDebug):
		return kgo.LogLevelInfo
	case l.to.Enabled(ctx, slog.LevelWarn):
		return kgo.LogLevelWarn
	default:
		return kgo.LogLevelError
	}
}

// Log implements kgo.Logger.
func (l logAdapter) Log(level kgo.LogLevel, msg string, keyvals ...any) {
	to := slog.LevelDebug
	switch level {
	case kgo.LogLevelError:
		to = slog.LevelError
	case kgo.LogLevelWarn:
		to = slog.LevelWarn
	}
	l.to.Log(context.Background(), to, "kafka client: "+msg, keyvals...)
}
