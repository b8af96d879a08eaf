package httpapi

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config tunes an API. The zero value is a working configuration but for the tokens.
type Config struct {
	// Addr is where it listens, as host:port; port 0 takes a free one. The default is 127.0.0.1:8080.
	Addr string
	// TokenFile holds the tokens, as lines of NAME = TOKEN. Without it they lie in the file api-tokens of Dir, where one for the name admin
	// is made if there are none.
	TokenFile, Dir string
	// CertFile and KeyFile turn on TLS (1.2 and later).
	CertFile, KeyFile string
	// AllowPlaintext allows an address that other machines can reach without TLS.
	AllowPlaintext bool

	// MaxBody is the largest body of a request in bytes. The default is 1 MiB.
	MaxBody int64
	// MaxRequests is how many requests may be under way. More are told to come again. The default is 1,024.
	MaxRequests int
	// Wait is how long a request waits for a decision unless it says so itself, MaxWait the longest that it may say. The defaults
	// are 1 s and 30 s.
	Wait, MaxWait time.Duration

	// Ready says whether /readyz answers that requests are welcome. The default is always, until Serve ends.
	Ready func() bool
	// Logger tells of requests, at the level debug, and of failures. The default is slog.Default.
	Logger *slog.Logger
	// Registerer takes the metrics. The default is none.
	Registerer prometheus.Registerer
}

// Flags adds the flags of an API to a set.
func (c *Config) Flags(f *flag.FlagSet) {
	f.StringVar(&c.Addr, "addr", "127.0.0.1:8080", "the `address` of the API; port 0 takes a free one")
	f.StringVar(&c.TokenFile, "token-file", "", "a `file` with the tokens that may use it, as lines of NAME = TOKEN (default: api-tokens in --dir, which is made)")
	f.StringVar(&c.CertFile, "tls-cert", "", "a `file` with its certificate")
	f.StringVar(&c.KeyFile, "tls-key", "", "a `file` with the key of the certificate")
	f.BoolVar(&c.AllowPlaintext, "allow-plaintext", false, "allow an address that other machines can reach without TLS")
	f.Int64Var(&c.MaxBody, "max-body", 1<<20, "the most `bytes` of a request")
	f.IntVar(&c.MaxRequests, "max-requests", 1024, "requests under way at once")
	f.DurationVar(&c.Wait, "wait", time.Second, "how long a request waits for its decision, unless it says so itself")
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:8080"
	}
	if c.MaxBody == 0 {
		c.MaxBody = 1 << 20
	}
	if c.MaxRequests == 0 {
		c.MaxRequests = 1024
	}
	if c.Wait == 0 {
		c.Wait = time.Second
	}
	if c.MaxWait == 0 {
		c.MaxWait = 30 * time.Second
	}
	if c.Ready == nil {
		c.Ready = func() bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.MaxBody < 1 || c.MaxRequests < 1 {
		errs = append(errs, fmt.Errorf("httpapi: --max-body is %d and --max-requests is %d: want at least 1", c.MaxBody, c.MaxRequests))
	}
	if c.Wait < time.Millisecond || c.Wait > c.MaxWait {
		errs = append(errs, fmt.Errorf("httpapi: --wait is %v: want 1ms to %v", c.Wait, c.MaxWait))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("httpapi: --tls-cert and --tls-key come together"))
	}
	return errors.Join(errs...)
}

// listen opens the address, or says why it should not be.
func (c Config) listen(ctx context.Context) (net.Listener, error) {
	host, _, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return nil, fmt.Errorf("httpapi: --addr %q is not host:port: %w", c.Addr, err)
	}
	if c.CertFile == "" && !c.AllowPlaintext && !loopback(host) {
		return nil, fmt.Errorf("httpapi: --addr %s can be reached by other machines, and tokens would cross the network in clear: "+
			"use 127.0.0.1, give --tls-cert and --tls-key, or add --allow-plaintext in a network you trust", c.Addr)
	}
	var secure *tls.Config
	if c.CertFile != "" {
		certificate, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("httpapi: --tls-cert: %w", err)
		}
		secure = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}}
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Addr)
	if err != nil {
		return nil, fmt.Errorf("httpapi: --addr: %w: take another port (0: a free one)", err)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	return l, nil
}

// loopback wants an address that is surely not another: a name could become one.
func loopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}
