package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/spf13/cobra"

	"github.com/riffle-stream/riffle/broker"
)

// serverFlags are what riffle server is told.
type serverFlags struct {
	broker      broker.Config
	metricsAddr string
	usersFile   string
	stopTimeout time.Duration
	logFormat   *choice
	logLevel    *choice
}

func newServer() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run a broker",
		Long: `Runs a broker until Ctrl-C or SIGTERM, which finish the requests under way, flush and close the logs.

Records are acknowledged when they are on disk, so kill -9 loses none that was acknowledged. One server at a time may use
a directory. Clients of the Kafka protocol connect to --listen.

Before an address stands a protocol: plaintext:// (the default), sasl_plaintext://, ssl:// or sasl_ssl://. Clients of sasl_
listeners log in, by SCRAM or PLAIN; ssl listeners have TLS, with the files of --tls-cert and --tls-key, which may be replaced
at any time. With --tls-client-ca, clients of ssl:// listeners must show a certificate, and are known by its name. Addresses that
other machines can reach need both encryption and authentication; --allow-plaintext says that the network is trusted.

` + usersHelp + `

As soon as one listener authenticates its clients, all clients need permissions: those that kafka-acls.sh gives, or that of
--super-users to do everything. Name a super user at first, or nobody can give any.

The first member of a consumer group starts at once. Where several members start together, --group-initial-rebalance-delay
(Kafka: 3s) spares them assignments that last for a moment only.

HTTP at --metrics-addr: /metrics for Prometheus, /livez (the process runs), /readyz (clients can connect).

` + configHelp,
		Example: `  riffle server
  riffle server --config /etc/riffle.conf
  riffle server --dir /var/lib/riffle --listen 127.0.0.1:9092,10.0.0.5:9092 --allow-plaintext --metrics-addr 127.0.0.1:9644
  riffle server --listen sasl_ssl://:9093 --tls-cert broker.pem --tls-key broker-key.pem --users-file users --super-users User:admin`,
		Args:              noArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := loadServerConfig(cmd.Flags(), os.Environ()); err != nil {
				return err
			}
			return f.serve(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVar(&f.broker.Dir, "dir", "riffle-data", "directory of the data; made if it is missing")
	flags.StringSliceVar(&f.broker.Listen, "listen", []string{"127.0.0.1:9092"}, "addresses for clients, [protocol://]host:port[?ssl.client.auth=none|requested|required]; port 0 takes a free one")
	flags.StringSliceVar(&f.broker.Advertise, "advertise", nil, "addresses that clients are told to connect to, one for each of --listen (default: the same)")
	flags.BoolVar(&f.broker.AllowPlaintext, "allow-plaintext", false, "allow addresses that other machines can reach without encryption or authentication")
	flags.StringVar(&f.usersFile, "users-file", "", "file with users to make (see above)")
	flags.StringSliceVar(&f.broker.Authorization.SuperUsers, "super-users", nil, "users that may do everything, User:name (User:ANONYMOUS: who is not asked)")
	flags.StringVar(&f.broker.TLS.CertFile, "tls-cert", "", "file with the certificate of ssl listeners")
	flags.StringVar(&f.broker.TLS.KeyFile, "tls-key", "", "file with its key")
	flags.StringVar(&f.broker.TLS.ClientCAFile, "tls-client-ca", "", "file with the roots of clients' certificates")
	flags.StringVar(&f.metricsAddr, "metrics-addr", "127.0.0.1:0", `address for metrics and health; port 0 takes a free one, "" none`)
	flags.Int32Var(&f.broker.NodeID, "node-id", 1, "id of this broker")
	flags.BoolVar(&f.broker.AutoCreateTopics, "auto-create-topics", false, "make topics when clients ask for unknown ones")
	flags.Int32Var(&f.broker.DefaultPartitions, "partitions", 1, "partitions of topics that are made without a number")
	flags.DurationVar(&f.broker.Group.InitialRebalanceDelay, "group-initial-rebalance-delay", 0, "how long the first member of a group waits for others")
	flags.DurationVar(&f.stopTimeout, "stop-timeout", 10*time.Second, "how long a stop waits for requests under way")
	f.logFormat = addChoice(cmd, "log-format", "", "form of the log on standard error", "text", "json")
	f.logLevel = addChoice(cmd, "log-level", "", "least level that is logged", "info", "debug", "warn", "error")
	addServerConfig(cmd, &f)
	mustComplete(cmd, "dir", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
	return cmd
}

// serve runs a broker until ctx ends.
func (f *serverFlags) serve(ctx context.Context, stdout, stderr io.Writer) (err error) {
	if f.broker.NodeID < 1 {
		return usagef("--node-id is %d, want at least 1", f.broker.NodeID)
	}
	log, err := f.logger(stderr)
	if err != nil {
		return err
	}
	if f.broker.SASL.Users, err = readUsers(f.usersFile); err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	f.broker.Logger, f.broker.Registerer = log, registry

	// Health comes first: recovery may take a while, and is no reason to be killed.
	health, err := startHealth(ctx, f.metricsAddr, f.broker.AllowPlaintext, registry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, health.close()) }()

	b, err := broker.Start(f.broker)
	if err != nil {
		return err
	}
	health.ready.Store(true)
	fmt.Fprintln(stdout, f.readyLine(b.Addrs(), health.addr))

	<-ctx.Done()
	log.Info("riffle: stopping", "timeout", f.stopTimeout)
	health.ready.Store(false)
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), f.stopTimeout)
	defer cancel()
	if err := b.Stop(stopCtx); err != nil {
		return err
	}
	log.Info("riffle: stopped")
	return nil
}

// readyLine is the one line on standard output.
func (f *serverFlags) readyLine(addrs []string, metrics string) string {
	dir := f.broker.Dir
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	line := fmt.Sprintf("riffle: broker %d is ready at %s, its data in %s", f.broker.NodeID, strings.Join(addrs, ", "), dir)
	if metrics != "" {
		line += fmt.Sprintf(", metrics at http://%s/metrics", metrics)
	}
	return line
}

func (f *serverFlags) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.logLevel.value)); err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: level}
	if f.logFormat.value == "json" {
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return slog.New(slog.NewTextHandler(w, opts)), nil
}
