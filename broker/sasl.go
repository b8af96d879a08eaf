package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/broker/access"
	"github.com/riffle-stream/riffle/broker/scram"
)

// saslExchange is one login under way.
type saslExchange interface {
	// Step takes the client's next message. Errors do not repeat what it says.
	Step(message []byte) (answer []byte, done bool, err error)
	// User is the name that the client has proved, once it is done.
	User() string
}

// errPassword is all that a client learns of why its login failed.
var errPassword = errors.New("wrong user or password")

// newLogin begins a login by a mechanism that is offered.
func (b *Broker) newLogin(mechanism string) (saslExchange, error) {
	if mechanism == mechanismPlain {
		return &plainExchange{b: b}, nil
	}
	m, ok := scram.ParseMechanism(mechanism)
	if !ok {
		return nil, fmt.Errorf("broker: no such mechanism %q", mechanism)
	}
	return scram.NewExchange(m, func(name string) scram.Verifier {
		v, _ := b.verifier(name, m)
		return v
	}, scram.Nonce()), nil
}

// verifier returns the verifier of a user, or one that no password matches and that
// cannot be told from others.
func (b *Broker) verifier(name string, m scram.Mechanism) (v scram.Verifier, found bool) {
	if v, found = b.access.Verifier(access.Credential{User: name, Mechanism: m}); found {
		return v, true
	}
	return scram.Decoy(m, b.decoySecret, name), false
}

// plainExchange is a login by PLAIN (RFC 4616): an identity to act for, which must be
// empty or the user's own, the user and the password, with zero bytes between.
type plainExchange struct {
	b    *Broker
	user string
}

func (e *plainExchange) Step(message []byte) (answer []byte, done bool, err error) {
	parts := bytes.SplitN(message, []byte{0}, 4) // not all: a message may be nothing but zero bytes
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[1]) > access.MaxNameBytes || len(parts[2]) == 0 {
		return nil, false, errors.New("not a message of PLAIN")
	}
	identity, name, password := string(parts[0]), string(parts[1]), string(parts[2])
	if identity != "" && identity != name {
		return nil, false, errors.New("a user may not act for another")
	}
	if !e.b.passwordMatches(name, password) {
		return nil, false, errPassword
	}
	e.user = name
	return []byte{}, true, nil
}

func (e *plainExchange) User() string { return e.user }

// passwordMatches checks a password against what is kept of it. Where a user has
// several verifiers the strongest decides.
func (b *Broker) passwordMatches(name, password string) bool {
	if err := b.hashing.Acquire(b.ctx, 1); err != nil {
		return false // stopping
	}
	defer b.hashing.Release(1)
	for _, m := range scram.Mechanisms() {
		if v, found := b.verifier(name, m); found {
			return v.Matches(password)
		}
	}
	decoy, _ := b.verifier(name, scram.SHA512)
	return decoy.Matches(password)
}

// authenticate takes the client's next message of the login. With an error it has
// failed, and the connection ends with the answer.
func (c *conn) authenticate(ctx context.Context, message []byte) (answer []byte, err error) {
	answer, done, err := c.stepLogin(ctx, message)
	if err != nil {
		c.loginFailed(ctx, err)
		return nil, err
	}
	if !done {
		return answer, nil
	}
	c.b.metrics.logins.WithLabelValues("succeeded").Inc()
	if c.b.cfg.SASL.MaxReauth > 0 {
		c.auth.expires = time.Now().Add(c.b.cfg.SASL.MaxReauth)
	}
	user := c.auth.login.User()
	c.auth.mechanism, c.auth.login = "", nil
	c.authenticated(user)
	return answer, nil
}

// stepLogin begins the login if this is its first message.
func (c *conn) stepLogin(ctx context.Context, message []byte) (answer []byte, done bool, err error) {
	if c.auth.login == nil {
		if err := c.b.logins.wait(ctx, remoteIP(c)); err != nil {
			return nil, false, err
		}
		if c.auth.login, err = c.b.newLogin(c.auth.mechanism); err != nil {
			return nil, false, err
		}
	}
	answer, done, err = c.auth.login.Step(message)
	if err == nil && done && c.auth.done.Load() && c.auth.login.User() != c.auth.principal {
		err = errors.New("the connection belongs to another user") // KIP-368
	}
	return answer, done, err
}
