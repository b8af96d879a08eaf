package e2e_test

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/stream"
)

// TestApplicationLogsIn runs an application against a broker that wants TLS and a
// login; with a wrong password, or without a root to trust, it says so and ends.
func TestApplicationLogsIn(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b := brokertest.Start(t, brokertest.With(func(c *broker.Config) {
		c.Listen = []string{"sasl_ssl://127.0.0.1:0"}
		c.TLS.CertFile, c.TLS.KeyFile = ca.Issue(pkix.Name{CommonName: "broker"})
		c.SASL.Users, c.SASL.FailureDelay = []broker.User{{Name: "app", Password: "correct horse"}}, 1
		c.Authorization.SuperUsers = []string{"User:app"}
	}))
	for _, tc := range []struct {
		name     string
		security stream.Security
		want     string // "": it runs
	}{
		{"SCRAM-SHA-512", stream.Security{TLS: ca.Client("", ""), User: "app", Password: "correct horse"}, ""},
		{"wrong password", stream.Security{TLS: ca.Client("", ""), User: "app", Password: "battery"}, "SASL_AUTHENTICATION_FAILED"},
		{"no password", stream.Security{TLS: ca.Client("", ""), User: "app"}, `user "app" of the cluster has no password`},
		{"unknown mechanism", stream.Security{User: "app", Password: "x", Mechanism: "MD5"}, `no mechanism "MD5"`},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := sumUp(ctx, stream.Kafka(b.Addr()).Secure(tc.security), t.TempDir())
		cancel()
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want) || errors.Is(err, context.DeadlineExceeded)) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// sumUp writes a payment, sums it up, and reads the sum.
func sumUp(ctx context.Context, cluster *stream.Cluster, dir string) error {
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
	if err := errors.Join(payments.Write(ctx, stream.Record[string, int64]{Key: "anna", Value: 10}), payments.Close()); err != nil {
		return err
	}
	topology, err := Topology()
	if err != nil {
		return err
	}
	app, err := stream.NewApp(topology, cluster, stream.Config{StopAtEnd: true, StateDir: dir})
	if err != nil {
		return err
	}
	if err := app.Run(ctx); err != nil {
		return err
	}
	for r, err := range cluster.Read(ctx, Totals) {
		if err != nil || r.Key != "anna" || r.Value != 10 {
			return fmt.Errorf("sum of %q is %d: %w", r.Key, r.Value, err)
		}
	}
	return nil
}
