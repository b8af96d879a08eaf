package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	defaultBroker  = "localhost:9092"
	brokersEnv     = "RIFFLE_BROKERS"
	defaultTimeout = 5 * time.Second
	minTimeout     = 100 * time.Millisecond
	retryInterval  = 100 * time.Millisecond
	// metadataMinAge is how soon a client looks again after it has seen that a topic has moved or gone.
	metadataMinAge = 500 * time.Millisecond
)

// clientFlags say how a command reaches the brokers.
type clientFlags struct {
	brokers  []string
	timeout  time.Duration
	security securityFlags
}

// register adds the flags to cmd and its subcommands.
func (f *clientFlags) register(cmd *cobra.Command) {
	brokers := []string{defaultBroker}
	if env := os.Getenv(brokersEnv); env != "" {
		brokers = strings.Split(env, ",")
	}
	flags := cmd.PersistentFlags()
	flags.StringSliceVarP(&f.brokers, "brokers", "b", brokers, "addresses to start from, host:port (environment: "+brokersEnv+")")
	flags.DurationVar(&f.timeout, "timeout", defaultTimeout, "how long to wait for a broker that does not answer")
	f.security.register(flags)
}

// options are what every client of a command has in common. The error is a mistake in the flags.
func (f *clientFlags) options() ([]kgo.Opt, error) {
	if f.timeout < minTimeout {
		return nil, usagef("--timeout is %v, want at least %v", f.timeout, minTimeout)
	}
	for _, addr := range f.brokers {
		if err := checkAddr(addr); err != nil {
			return nil, usagef("--brokers %s: %w", addr, err)
		}
	}
	secure, err := f.security.options()
	if err != nil {
		return nil, err
	}
	return append(secure,
		kgo.ClientID("riffle"),
		kgo.SeedBrokers(f.brokers...),
		kgo.DialTimeout(f.timeout),
		kgo.RequestTimeoutOverhead(f.timeout),
		kgo.RetryTimeout(f.timeout),
		kgo.MetadataMinAge(metadataMinAge),
	), nil
}

// connect returns a client once a broker has answered it. A broker may just be starting: until the timeout ends, connect tries again.
func (f *clientFlags) connect(ctx context.Context, opts ...kgo.Opt) (*kgo.Client, error) {
	common, err := f.options()
	if err != nil {
		return nil, err
	}
	client, err := kgo.NewClient(append(common, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	if err := f.await(ctx, client); err != nil {
		client.Close()
		return nil, err
	}
	return client, nil
}

// checkAddr wants host:port or, for Kafka's own port, host.
func checkAddr(addr string) error {
	if addr != "" && !strings.Contains(addr, ":") {
		return nil
	}
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New("want host:port")
	}
	return nil
}

// await returns when a broker has answered.
func (f *clientFlags) await(ctx context.Context, client *kgo.Client) error {
	timed, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	var cause error
	for {
		err := client.Ping(timed)
		if err == nil {
			return nil
		}
		if refused := f.security.refusal(err); refused != nil {
			return refused
		}
		if timed.Err() == nil || cause == nil {
			cause = err // not the end of the time, if there is better
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-timed.Done():
			return &unreachableError{f.brokers, f.timeout, cause}
		case <-time.After(retryInterval):
		}
	}
}

// unreachableError means that no broker answered.
type unreachableError struct {
	brokers []string
	timeout time.Duration
	cause   error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("no broker answers at %s (%s, tried for %v): start one with %q, or name another with --brokers",
		strings.Join(e.brokers, ", "), shortCause(e.cause), e.timeout, "riffle server")
}

func (e *unreachableError) Unwrap() error { return e.cause }

// shortCause is the part of a network error that is not clear from the context.
func shortCause(err error) string {
	var (
		errno syscall.Errno
		dns   *net.DNSError
		slow  net.Error
	)
	switch {
	case err == nil, errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "no answer"
	case errors.As(err, &dns):
		return dns.Err
	case errors.As(err, &errno):
		return errno.Error()
	}
	return err.Error()
}
