package broker

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// Frames of clients that have not proved who they are.
const (
	maxUnauthenticatedFrameBytes = 64 << 10
	maxSASLFrameBytes            = 16 << 10
)

var (
	// errUnauthenticated closes a connection whose client asks for something before it
	// has proved who it is.
	errUnauthenticated = errors.New("broker: not authenticated")
	// errLogin closes a connection after a failed login was answered.
	errLogin = errors.New("broker: login failed")
)

// authentication is what a connection knows of who its client is. A client proves it
// once, and again when the login expires.
//
// The goroutine that reads looks at done and rawTokens only; all else belongs to the
// one that works.
type authentication struct {
	required bool        // immutable: the listener asks for SASL
	done     atomic.Bool // the client may send what it likes
	// rawTokens means that frames are bare tokens of SASL, without headers: so it is
	// after version 0 of SaslHandshake, until the login is over.
	rawTokens atomic.Bool

	principal string       // name of the user
	client    acl.Client   // the same, as ACLs know it
	mayAll    bool         // without asking ACLs
	mechanism string       // of the handshake; empty: there was none
	login     saslExchange // nil: not begun
	expires   time.Time    // zero: never
	failed    error        // the connection ends with the next answer
}

// anonymous is the principal of clients that nobody asked who they are, as in Kafka.
const anonymous = "ANONYMOUS"

// admit reports whether a request with that key may be handled now.
func (a *authentication) admit(key int16, now time.Time) error {
	if !a.required {
		return nil
	}
	switch key {
	case int16(kmsg.ApiVersions):
		return nil
	case int16(kmsg.SASLHandshake):
		if a.login != nil {
			return fmt.Errorf("%w: a handshake in the middle of a login", errUnauthenticated)
		}
		return nil
	case int16(kmsg.SASLAuthenticate):
		if a.mechanism == "" {
			return fmt.Errorf("%w: SaslAuthenticate without SaslHandshake", errUnauthenticated)
		}
		return nil
	}
	switch {
	case !a.done.Load():
		return fmt.Errorf("%w: %s before the login", errUnauthenticated, apiName(key))
	case a.mechanism != "":
		return fmt.Errorf("%w: %s in the middle of a login", errUnauthenticated, apiName(key))
	case !a.expires.IsZero() && now.After(a.expires):
		return fmt.Errorf("%w: the login has expired", errUnauthenticated)
	}
	return nil
}

// frameLimit is the largest request with that key which the connection may send.
func (c *conn) frameLimit(key int16) int {
	switch {
	case c.auth.done.Load() && carriesRecords(key):
		return c.b.cfg.MaxFrameBytes
	case c.auth.done.Load():
		return c.b.cfg.MaxControlFrameBytes
	case key == int16(kmsg.SASLAuthenticate):
		return maxSASLFrameBytes
	}
	return maxUnauthenticatedFrameBytes
}

// authenticated lets the client in.
func (c *conn) authenticated(principal string) {
	c.identify(principal)
	c.logger.Debug("broker: client authenticated", "user", principal)
	if !c.auth.done.Swap(true) {
		c.b.conns.authenticated()
	}
}

// proveWithin is the time by which the client must have proved who it is.
func (c *conn) proveWithin() (deadline time.Time, pending bool) {
	return c.handshakeEnds, !c.auth.done.Load()
}

// loginFailed notes that a login failed, and holds the answer back: guessing takes
// time. The connection ends when the answer is written.
func (c *conn) loginFailed(ctx context.Context, cause error) {
	c.b.metrics.logins.WithLabelValues("failed").Inc()
	c.auth.failed = fmt.Errorf("%w: %w", errLogin, cause)
	timer := time.NewTimer(c.b.cfg.SASL.FailureDelay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
