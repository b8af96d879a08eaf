package broker

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// What TLSConfig.ClientAuth may say (ssl.client.auth).
const (
	clientAuthNone      = "none"
	clientAuthRequested = "requested"
	clientAuthRequired  = "required"
)

func clientAuths() []string {
	return []string{clientAuthNone, clientAuthRequested, clientAuthRequired}
}

// TLSConfig tunes ssl:// and sasl_ssl:// listeners. TLS 1.2 is the least that is
// spoken. The files are PEM; when they change, the next connection has the new ones.
type TLSConfig struct {
	// CertFile is the broker's certificate and those that lead from it to a root,
	// KeyFile its private key.
	CertFile, KeyFile string
	// ClientCAFile are the roots of clients' certificates.
	ClientCAFile string
	// ClientAuth is whether clients show a certificate: none, requested or required. By
	// default it is required on ssl:// listeners if there is a ClientCAFile, and there is
	// none on sasl_ssl:// listeners. Config.Listen may say otherwise of one listener.
	ClientAuth string
	// CommonName takes the name of a user from the common name of its certificate:
	// User:alice. By default it is the whole distinguished name, as in Kafka:
	// User:CN=alice,O=Example.
	CommonName bool
}

// clientAuth is what a listener asks of its clients.
func (c TLSConfig) clientAuth(l listenAddress) string {
	switch {
	case l.clientAuth != "":
		return l.clientAuth
	case c.ClientAuth != "":
		return c.ClientAuth
	case c.ClientCAFile != "" && !l.sasl:
		return clientAuthRequired
	}
	return clientAuthNone
}

func (c TLSConfig) validate(used bool) error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("broker: TLS."+format, args...))
		}
	}
	bad(used && (c.CertFile == "" || c.KeyFile == ""), "CertFile or KeyFile is empty: an ssl listener needs both (--tls-cert, --tls-key)")
	known := c.ClientAuth == "" || slices.Contains(clientAuths(), c.ClientAuth)
	bad(!known, "ClientAuth is %q, want one of %s", c.ClientAuth, strings.Join(clientAuths(), ", "))
	if known && c.ClientAuth != "" {
		errs = append(errs, c.haveRoots(c.ClientAuth))
	}
	return errors.Join(errs...)
}

// haveRoots says what is missing to ask clients for certificates.
func (c TLSConfig) haveRoots(clientAuth string) error {
	if clientAuth == clientAuthNone || c.ClientCAFile != "" {
		return nil
	}
	return fmt.Errorf("broker: TLS.ClientCAFile is empty, but client authentication is %q: name the roots of clients' certificates (--tls-client-ca)", clientAuth)
}

// certificates are the files of a TLSConfig as they are now, for listeners that ask
// the same of their clients.
type certificates struct {
	cfg    TLSConfig // immutable
	auth   string    // immutable
	logger *slog.Logger

	mu struct {
		sync.Mutex
		current *tls.Config
		read    fileStamps // of the files that current is of
		refused fileStamps // of the last that were no use
	}
}

// openCertificates reads the files for the first time.
func openCertificates(cfg TLSConfig, auth string, logger *slog.Logger) (*certificates, error) {
	if err := cfg.haveRoots(auth); err != nil {
		return nil, err
	}
	c := &certificates{cfg: cfg, auth: auth, logger: logger}
	var err error
	c.mu.read = c.stamps()
	if c.mu.current, err = c.load(); err != nil {
		return nil, err
	}
	return c, nil
}

// serverConfig is the configuration of a listener.
func (c *certificates) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.latest(), nil },
	}
}

// latest is the configuration for the next connection. Files that have changed are
// read again; if they are no use the connection gets those before.
func (c *certificates) latest() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.stamps()
	if now == c.mu.read || now == c.mu.refused {
		return c.mu.current
	}
	next, err := c.load()
	if err != nil {
		c.mu.refused = now
		c.logger.Error("broker: the files of TLS have changed and are no use: those before stay in use", "cause", err)
		return c.mu.current
	}
	c.mu.current, c.mu.read = next, now
	c.logger.Info("broker: the files of TLS have changed and are in use", "certificate", c.cfg.CertFile)
	return next
}

func (c *certificates) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.cfg.CertFile, c.cfg.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("broker: certificate %s with key %s: %w", c.cfg.CertFile, c.cfg.KeyFile, err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if c.auth == clientAuthNone {
		return cfg, nil
	}
	pem, err := os.ReadFile(c.cfg.ClientCAFile)
	if err != nil {
		return nil, fmt.Errorf("broker: roots of clients' certificates: %w", err)
	}
	if cfg.ClientCAs = x509.NewCertPool(); !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("broker: roots of clients' certificates: %s holds no certificate in PEM", c.cfg.ClientCAFile)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	if c.auth == clientAuthRequested {
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	// A resumed session would bring a certificate that was verified against old roots.
	cfg.SessionTicketsDisabled = true
	return cfg, nil
}

// fileStamps tell whether files have changed.
type fileStamps [3]struct {
	modified time.Time
	size     int64
}

func (c *certificates) stamps() (s fileStamps) {
	for i, name := range []string{c.cfg.CertFile, c.cfg.KeyFile, c.cfg.ClientCAFile} {
		if info, err := os.Stat(name); err == nil {
			s[i].modified, s[i].size = info.ModTime(), info.Size()
		}
	}
	return s
}

// certificateName is the name of the user whose certificate it is.
func (c TLSConfig) certificateName(cert *x509.Certificate) string {
	if c.CommonName {
		return cert.Subject.CommonName
	}
	var name pkix.RDNSequence
	if _, err := asn1.Unmarshal(cert.RawSubject, &name); err != nil {
		return cert.Subject.String() // not so: it was parsed before
	}
	return name.String()
}
