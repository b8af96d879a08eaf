package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
)

// handshake brings up TLS, where the listener has it. A client with a certificate has
// proved with it who it is, unless it logs in as well.
func (c *conn) handshake() error {
	secure, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithDeadline(c.ctx, c.handshakeEnds)
	defer cancel()
	if err := secure.HandshakeContext(ctx); err != nil {
		var plain tls.RecordHeaderError
		if errors.As(err, &plain) {
			return fmt.Errorf("%w: %w%s", errFrame, err, notTLS(plain.RecordHeader[:4]))
		}
		return fmt.Errorf("%w: %w", errHandshake, err)
	}
	if c.auth.required {
		return nil
	}
	principal := anonymous
	if certs := secure.ConnectionState().PeerCertificates; len(certs) > 0 {
		if principal = c.b.cfg.TLS.certificateName(certs[0]); principal == "" {
			return fmt.Errorf("%w: the client's certificate has no name", errHandshake)
		}
	}
	c.authenticated(principal)
	return nil
}

// errHandshake means that TLS was not agreed on: versions, certificates, time.
var errHandshake = errors.New("broker: TLS handshake")

// notTLS guesses which other protocol the first bytes are of.
func notTLS(start []byte) string {
	if what := foreign(start); what != "" {
		return what
	}
	return ": this looks like plaintext Kafka, but the port speaks TLS"
}
