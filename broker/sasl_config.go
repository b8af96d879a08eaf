package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/broker/access"
	"github.com/riffle-stream/riffle/broker/scram"
)

// mechanismPlain sends the password itself.
const mechanismPlain = "PLAIN"

// SASLConfig tunes SASL. The zero value is a working configuration, without users.
type SASLConfig struct {
	// Mechanisms are what is offered (sasl.enabled.mechanisms). The default is
	// SCRAM-SHA-512, SCRAM-SHA-256 and, where nobody can listen in, PLAIN: with TLS and
	// on the loopback. Listing PLAIN offers it everywhere.
	Mechanisms []string
	// Users are made when the broker starts, unless there is a user of that name. It is
	// how the first one comes to be.
	Users []User
	// Iterations is the cost of a guess at the password of one of Users, in rounds of
	// PBKDF2. The default is 15,000.
	Iterations int
	// FailureDelay is how long the answer to a failed login is held back
	// (connection.failed.authentication.delay.ms). The default is 250 ms.
	FailureDelay time.Duration
	// MaxLoginsPerSecond limits the logins from one address. Further ones wait for
	// their turn. The default is 20.
	MaxLoginsPerSecond int
	// Dial makes clients of Broker.Dial log in, too. By default they are trusted: they
	// are part of this process.
	Dial bool
	// MaxReauth is how long a login is good for (connections.max.reauth.ms, KIP-368).
	// Clients learn of it and log in again on the same connection; without that the
	// connection is closed. The default, 0, is for ever.
	MaxReauth time.Duration
}

// User is a user that logs in with a password.
type User struct {
	Name     string
	Password Secret
}

func (c SASLConfig) withDefaults() SASLConfig {
	setDefault(&c.Iterations, scram.DefaultIterations)
	setDefault(&c.FailureDelay, 250*time.Millisecond)
	setDefault(&c.MaxLoginsPerSecond, 20)
	return c
}

func (c SASLConfig) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("broker: SASL."+format, args...))
		}
	}
	for _, m := range c.Mechanisms {
		_, ok := scram.ParseMechanism(m)
		bad(!ok && m != mechanismPlain, "Mechanisms: %q is not one of %s", m, strings.Join(allMechanisms(), ", "))
	}
	bad(c.Iterations < scram.MinIterations || c.Iterations > scram.MaxIterations,
		"Iterations is %d, want %d to %d", c.Iterations, scram.MinIterations, scram.MaxIterations)
	bad(c.FailureDelay < 0, "FailureDelay is %v, must not be negative", c.FailureDelay)
	bad(c.MaxLoginsPerSecond < 1, "MaxLoginsPerSecond is %d, must be at least 1", c.MaxLoginsPerSecond)
	bad(c.MaxReauth < 0, "MaxReauth is %v, must not be negative", c.MaxReauth)
	for i, u := range c.Users {
		err := access.ValidateName(u.Name)
		bad(err != nil, "Users: user %d: %w", i+1, err)
		bad(u.Password == "", "Users: the password of %q is empty", u.Name)
		bad(slices.ContainsFunc(c.Users[:i], func(o User) bool { return o.Name == u.Name }), "Users: %q stands there twice", u.Name)
	}
	return errors.Join(errs...)
}

// allMechanisms are the names of all mechanisms, the strongest first.
func allMechanisms() []string {
	var names []string
	for _, m := range scram.Mechanisms() {
		names = append(names, m.String())
	}
	return append(names, mechanismPlain)
}

// mechanisms are what a listener offers.
func (c SASLConfig) mechanisms(private bool) []string {
	switch {
	case len(c.Mechanisms) > 0:
		return c.Mechanisms
	case private:
		return allMechanisms()
	}
	return slices.DeleteFunc(allMechanisms(), func(m string) bool { return m == mechanismPlain })
}

// makeUsers makes the users of the configuration that are not there yet.
func (b *Broker) makeUsers() error {
	there := b.access.Users()
	for _, u := range b.cfg.SASL.Users {
		if slices.Contains(there, u.Name) {
			b.cfg.Logger.Info("broker: a user of the configuration is there already and keeps its password", "user", u.Name)
			continue
		}
		var verifiers []scram.Verifier
		for _, m := range scram.Mechanisms() {
			v, err := scram.New(m, string(u.Password), scram.Salt(), b.cfg.SASL.Iterations)
			if err != nil {
				return fmt.Errorf("broker: make user %q: %w", u.Name, err)
			}
			verifiers = append(verifiers, v)
		}
		if err := b.access.ChangeUser(u.Name, verifiers, nil); err != nil {
			return fmt.Errorf("broker: make user %q: %w", u.Name, err)
		}
		b.cfg.Logger.Info("broker: user made", "user", u.Name)
	}
	return nil
}
