package stream

import (
	"crypto/tls"
	"fmt"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Security is how an application proves to a cluster who it is, and whom it trusts. The zero value connects in
// plaintext and proves nothing.
type Security struct {
	// TLS encrypts connections. It says which roots are trusted (nil: those of the system), and holds the
	// certificate of the application, if it has one.
	TLS *tls.Config
	// User logs in with Password, if it is set. Take the password from a file or a variable, not from a flag.
	User, Password string
	// Mechanism is SCRAM-SHA-512, the default, SCRAM-SHA-256 or PLAIN.
	Mechanism string
}

// Secure makes all clients of a cluster that Kafka made encrypt and log in. An embedded broker is part of the
// application and needs neither. Call it before the cluster is used; it returns c. What is wrong with s is
// reported by Open.
func (c *Cluster) Secure(s Security) *Cluster {
	c.tls = s.TLS
	if c.login, c.secureErr = nil, nil; s.User == "" {
		return c
	}
	if s.Password == "" {
		c.secureErr = fmt.Errorf("stream: user %q of the cluster has no password", s.User)
		return c
	}
	c.login, c.secureErr = client.NewLogin(s.Mechanism, s.User, s.Password)
	return c
}
