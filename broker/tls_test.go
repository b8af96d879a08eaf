package broker_test

import (
	"crypto/tls"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	saslscram "github.com/twmb/franz-go/pkg/sasl/scram"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// logBook keeps what a broker logs.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
	news chan struct{} // something was written
}

func newLogBook() *logBook { return &logBook{news: make(chan struct{}, 1)} }

func (l *logBook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default:
	}
	return l.text.Write(p)
}

func (l *logBook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await returns when the log holds text.
func (l *logBook) await(t testing.TB, text string) {
	t.Helper()
	late := time.After(20 * time.Second)
	for !strings.Contains(l.String(), text) {
		select {
		case <-l.news:
		case <-late:
			t.Fatalf("the log does not say %q:\n%s", text, l)
		}
	}
}

func (l *logBook) option() brokertest.Option {
	return brokertest.With(func(c *broker.Config) {
		c.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
}

// withTLS makes a broker with certificates listen.
func withTLS(ca *brokertest.CA, listen string, change func(*broker.TLSConfig)) brokertest.Option {
	return brokertest.With(func(c *broker.Config) {
		c.Listen = []string{listen}
		c.TLS.CertFile, c.TLS.KeyFile = ca.Issue(pkix.Name{CommonName: "broker"})
		change(&c.TLS)
	})
}

// dialTLS connects and finishes the handshake.
func dialTLS(t testing.TB, b *broker.Broker, cfg *tls.Config) (*raw, error) {
	t.Helper()
	nc, err := tls.Dial("tcp", b.Addr(), cfg)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{t: t, b: b, transport: "tls", nc: nc}, nil
}

// A client's certificate says who it is, by its distinguished name or its common
// name; without one that the broker trusts nobody gets in.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	ca, stranger := brokertest.NewCA(t), brokertest.NewCA(t)
	name := pkix.Name{CommonName: "alice", Organization: []string{"Example, Inc."}, OrganizationalUnit: []string{"Till"}}
	alice := ca.Client(ca.Issue(name))
	foreign := ca.Client(stranger.Issue(name))
	for _, tc := range []struct {
		name       string
		commonName bool
		want       string
	}{
		{"distinguished name", false, `user="CN=alice,OU=Till,O=Example\\, Inc."`},
		{"common name", true, "user=alice"},
	} {
		book := newLogBook()
		b := brokertest.Start(t, book.option(), withTLS(ca, "ssl://127.0.0.1:0", func(c *broker.TLSConfig) {
			c.ClientCAFile, c.CommonName = ca.File, tc.commonName
		}))
		r, err := dialTLS(t, b, alice)
		if err != nil {
			t.Fatal(err)
		}
		r.served(tc.name)
		book.await(t, "client authenticated")
		if !strings.Contains(book.String(), tc.want) {
			t.Errorf("%s: the log does not say %s:\n%s", tc.name, tc.want, book)
		}
		for what, cfg := range map[string]*tls.Config{"no certificate": ca.Client("", ""), "a stranger's": foreign} {
			r, err := dialTLS(t, b, cfg)
			if err != nil {
				continue
			}
			// With TLS 1.3 the client learns of it when it reads.
			if _, err := io.ReadFull(r.nc, make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: %v, want the connection closed", what, err)
			}
		}
	}
}

// Clients may show a certificate, need not, or are not asked.
func TestClientAuth(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	for _, tc := range []struct {
		listen, auth string
		roots        bool
		named        bool // a client with a certificate is known by it
	}{
		{"ssl://127.0.0.1:0", "", false, false},
		{"ssl://127.0.0.1:0", "none", true, false},
		{"ssl://127.0.0.1:0", "requested", true, true},
	} {
		book := newLogBook()
		b := brokertest.Start(t, book.option(), withTLS(ca, tc.listen, func(c *broker.TLSConfig) {
			if c.ClientAuth = tc.auth; tc.roots {
				c.ClientCAFile = ca.File
			}
		}))
		for _, cfg := range []*tls.Config{ca.Client("", ""), ca.Client(ca.Issue(pkix.Name{CommonName: "alice"}))} {
			r, err := dialTLS(t, b, cfg)
			if err != nil {
				t.Fatal(err)
			}
			r.served(tc.auth)
		}
		book.await(t, "user=ANONYMOUS")
		if got := strings.Contains(book.String(), "user=\"CN=alice\""); got != tc.named {
			t.Errorf("client auth %q: alice is known: %v, want %v\n%s", tc.auth, got, tc.named, book)
		}
	}
}

// What a listener asks of its clients may stand behind its address.
func TestClientAuthOfOneListener(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b := brokertest.Start(t, brokertest.With(secured), withTLS(ca, "ssl://127.0.0.1:0", func(c *broker.TLSConfig) {
		c.ClientCAFile = ca.File
	}), brokertest.With(func(c *broker.Config) {
		c.Listen = []string{"ssl://127.0.0.1:0", "ssl://127.0.0.1:0?ssl.client.auth=none", "sasl_ssl://127.0.0.1:0?ssl.client.auth=required", "sasl_ssl://127.0.0.1:0"}
	}))
	for i, required := range []bool{true, false, true, false} {
		for _, shown := range []bool{false, true} {
			cfg := ca.Client("", "")
			if shown {
				cfg = ca.Client(ca.Issue(pkix.Name{CommonName: "alice"}))
			}
			nc, err := tls.Dial("tcp", b.Addrs()[i], cfg)
			if err == nil { // with TLS 1.3 the client learns of it when it reads
				r := &raw{t: t, b: b, nc: nc}
				frame := requestFrame(18, 0, nil)
				if _, err = nc.Write(frame); err == nil {
					_, err = io.ReadFull(r.nc, make([]byte, 4))
				}
				nc.Close()
			}
			if served := err == nil; served != (shown || !required) {
				t.Errorf("listener %d, certificate shown %v: served %v (%v)", i, shown, served, err)
			}
		}
	}
}

// DescribeConfigs of the broker has its settings of security, and no secret.
func TestDescribeSecurity(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	describe := func(r *raw) map[string]kmsg.DescribeConfigsResponseResourceConfig {
		t.Helper()
		req := at(4, kmsg.NewPtrDescribeConfigsRequest())
		req.IncludeSynonyms = true
		rr := kmsg.NewDescribeConfigsRequestResource()
		rr.ResourceType = kmsg.ConfigResourceTypeBroker
		req.Resources = append(req.Resources, rr)
		got := map[string]kmsg.DescribeConfigsResponseResourceConfig{}
		for _, c := range do[*kmsg.DescribeConfigsResponse](r, req).Resources[0].Configs {
			got[c.Name] = c
		}
		return got
	}
	b := brokertest.Start(t, brokertest.With(secured), withTLS(ca, "sasl_ssl://127.0.0.1:0", func(c *broker.TLSConfig) {
		c.ClientCAFile, c.CommonName = ca.File, true
	}))
	r, err := dialTLS(t, b, ca.Client("", ""))
	if err != nil {
		t.Fatal(err)
	}
	got := describe(r.mustLogin(alice, alicesPassword))
	for name, want := range map[string]string{
		"sasl.enabled.mechanisms":        "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN",
		"super.users":                    "User:alice",
		"allow.everyone.if.no.acl.found": "false",
		"ssl.client.auth":                "none",
		"ssl.truststore.location":        ca.File,
		"ssl.principal.mapping.rules":    "RULE:^.*CN=([^,]+).*$/$1/",
		"connections.max.reauth.ms":      "0",
	} {
		if c, ok := got[name]; !ok || text(c.Value) != want || c.IsSensitive || !c.ReadOnly {
			t.Errorf("%s is %q (there: %v, sensitive: %v), want %q", name, text(c.Value), ok, c.IsSensitive, want)
		}
	}
	for _, name := range []string{"ssl.keystore.key", "sasl.jaas.config"} {
		c, ok := got[name]
		if !ok || !c.IsSensitive || c.Value != nil || c.ConfigType != kmsg.ConfigTypePassword || len(c.ConfigSynonyms) != 1 || c.ConfigSynonyms[0].Value != nil {
			t.Errorf("%s is %+v (there: %v), want it sensitive and null", name, c, ok)
		}
	}
	for name := range describe(dial(t, brokertest.Start(t), "memory")) {
		if strings.HasPrefix(name, "ssl.") || strings.HasPrefix(name, "sasl.") || name == "super.users" {
			t.Errorf("a broker without security has %s", name)
		}
	}
}

// A foreign client logs in by SCRAM over TLS, with and without a certificate of its
// own.
func TestLoginOverTLS(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	for _, auth := range []string{"", "required"} {
		b := brokertest.Start(t, brokertest.With(secured), withTLS(ca, "sasl_ssl://127.0.0.1:0", func(c *broker.TLSConfig) {
			c.ClientCAFile, c.ClientAuth = ca.File, auth
		}))
		certFile, keyFile := "", ""
		if auth == "required" {
			certFile, keyFile = ca.Issue(pkix.Name{CommonName: "machine"})
		}
		cl, err := kgo.NewClient(kgo.SeedBrokers(b.Addr()), kgo.DialTLSConfig(ca.Client(certFile, keyFile)),
			kgo.SASL(saslscram.Auth{User: alice, Pass: alicesPassword}.AsSha512Mechanism()),
			kgo.ConsumeTopics("orders"), kgo.MetadataMinAge(10*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		if err := cl.Ping(t.Context()); err != nil {
			t.Errorf("client auth %q: %v", auth, err)
		}
		r, err := dialTLS(t, b, ca.Client(certFile, keyFile))
		if err != nil {
			t.Fatal(err)
		}
		if resp := r.login(2, "PLAIN", alice, alicesPassword); resp.ErrorCode != 0 {
			t.Errorf("PLAIN: error %d", resp.ErrorCode)
		}
		r.create("orders", 1)
		want := strings.Repeat("x", 900<<10)
		r.produce("orders", batch(1, want))
		records := cl.PollFetches(t.Context()).Records()
		if len(records) != 1 || string(records[0].Value) != want {
			t.Errorf("client auth %q: fetched %d records", auth, len(records))
		}
	}
}

// A certificate that is replaced is the next connection's; one that is no use is not.
func TestCertificatesAreReplaced(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	book := newLogBook()
	var certFile string
	b := brokertest.Start(t, book.option(), withTLS(ca, "ssl://127.0.0.1:0", func(c *broker.TLSConfig) { certFile = c.CertFile }))
	serial := func() string {
		r, err := dialTLS(t, b, ca.Client("", ""))
		if err != nil {
			t.Fatal(err)
		}
		r.served("a connection")
		return r.nc.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	first := serial()
	ca.Issue(pkix.Name{CommonName: "broker"}) // in place of the first
	touch(t, certFile, time.Second)
	second := serial()
	if first == second {
		t.Error("the old certificate is still in use")
	}
	if err := os.WriteFile(certFile, []byte("not a certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := serial(); got != second {
			t.Errorf("with a broken file: certificate %s, want %s", got, second)
		}
	}
	if n := strings.Count(book.String(), "are no use"); n != 1 {
		t.Errorf("the log says %d times that the file is broken, want once:\n%s", n, book)
	}
	ca.Issue(pkix.Name{CommonName: "broker"})
	touch(t, certFile, 2*time.Second)
	if got := serial(); got == second {
		t.Error("the file was mended, but the old certificate is in use")
	}
}

// touch moves the time of a file: two writes may fall into one tick of its clock.
func touch(t testing.TB, path string, ahead time.Duration) {
	t.Helper()
	at := time.Now().Add(ahead)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// Who speaks another protocol is sent away, and the log says what was wrong.
func TestNotTLS(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	for start, want := range map[string]string{
		"GET / HTTP/1.1\r\n\r\n":                  "this looks like HTTP",
		string(frame(18, 0, 1, []byte{255, 255})): "this looks like plaintext Kafka, but the port speaks TLS",
	} {
		book := newLogBook()
		b := brokertest.Start(t, book.option(), withTLS(ca, "ssl://127.0.0.1:0", func(*broker.TLSConfig) {}))
		r := dial(t, b, "tcp")
		r.write([]byte(start))
		_, _ = io.Copy(io.Discard, r.nc) // an alert, perhaps, and the end
		book.await(t, want)
	}
	// TLS 1.1 is too old.
	b := brokertest.Start(t, withTLS(ca, "ssl://127.0.0.1:0", func(*broker.TLSConfig) {}))
	old := ca.Client("", "")
	old.MinVersion, old.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
	if _, err := dialTLS(t, b, old); err == nil {
		t.Error("TLS 1.1 was agreed on")
	}
}

// A client that begins no handshake does not hold a connection, nor does it hold up
// the end of the broker.
func TestSilentBeforeTLS(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	b := brokertest.Start(t, withTLS(ca, "ssl://127.0.0.1:0", func(*broker.TLSConfig) {}), brokertest.With(func(c *broker.Config) {
		c.HandshakeTimeout = 50 * time.Millisecond
	}))
	dial(t, b, "tcp").wantClosed("silence")
	b = brokertest.Start(t, withTLS(ca, "ssl://127.0.0.1:0", func(*broker.TLSConfig) {}))
	nc, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	brokertest.Stop(t, b)
}

func TestTLSConfigRefuses(t *testing.T) {
	t.Parallel()
	ca := brokertest.NewCA(t)
	certFile, keyFile := ca.Issue(pkix.Name{CommonName: "broker"})
	for _, tc := range []struct {
		name   string
		listen string
		tls    broker.TLSConfig
		want   string
	}{
		{"no certificate", "ssl://127.0.0.1:0", broker.TLSConfig{}, "--tls-cert"},
		{"no key", "sasl_ssl://127.0.0.1:0", broker.TLSConfig{CertFile: certFile}, "--tls-key"},
		{"missing file", "ssl://127.0.0.1:0", broker.TLSConfig{CertFile: "missing.pem", KeyFile: keyFile}, "missing.pem"},
		{"another key", "ssl://127.0.0.1:0", broker.TLSConfig{CertFile: ca.File, KeyFile: keyFile}, "private key does not match"},
		{"no roots", "ssl://127.0.0.1:0", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile, ClientAuth: "required"}, "--tls-client-ca"},
		{"roots that are none", "ssl://127.0.0.1:0", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile, ClientCAFile: keyFile}, "holds no certificate"},
		{"client auth", "ssl://127.0.0.1:0", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile, ClientAuth: "maybe"}, `"maybe", want one of none, requested, required`},
		{"no roots for one listener", "ssl://127.0.0.1:0?ssl.client.auth=required", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile}, "--tls-client-ca"},
		{"client auth of one listener", "ssl://127.0.0.1:0?ssl.client.auth=maybe", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile}, `"maybe", want one of none, requested, required`},
		{"client auth without TLS", "plaintext://127.0.0.1:0?ssl.client.auth=none", broker.TLSConfig{}, "is an option of ssl:// and sasl_ssl://"},
		{"an unknown option", "ssl://127.0.0.1:0?auth=none", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile}, `there is no option "auth", only ssl.client.auth`},
		{"encrypted, but open to one listener", "ssl://0.0.0.0:0?ssl.client.auth=requested", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile, ClientCAFile: ca.File}, "there is no authentication on it"},
		{"encrypted, but open", "ssl://0.0.0.0:0", broker.TLSConfig{CertFile: certFile, KeyFile: keyFile}, "there is no authentication on it"},
	} {
		b, err := broker.Start(broker.Config{FS: vfs.NewMem(), Listen: []string{tc.listen}, TLS: tc.tls})
		if err == nil {
			brokertest.Stop(t, b)
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want it to say %q", tc.name, err, tc.want)
		}
	}
	// With both, other machines are welcome.
	for _, listen := range []string{"ssl://0.0.0.0:0", "sasl_ssl://0.0.0.0:0"} {
		brokertest.Start(t, brokertest.With(func(c *broker.Config) {
			c.Listen, c.TLS = []string{listen}, broker.TLSConfig{CertFile: certFile, KeyFile: keyFile, ClientCAFile: ca.File}
		}))
	}
}
