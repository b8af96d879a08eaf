package broker

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/access"
	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/scram"
)

// AlterUserScramCredentials: v0, flexible (KIP-554)
//
// Passwords come salted and hashed; only what SCRAM needs to check them is kept. A
// login that is open stays so; the next one needs the new password.
func handleAlterUserScramCredentials(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.AlterUserSCRAMCredentialsRequest)
	resp := r.ResponseKind().(*kmsg.AlterUserSCRAMCredentialsResponse)

	// A user has one result, however many of its credentials change; a credential that
	// is named twice is an error that leaves all of the user's alone.
	var users []string
	changes := map[string]*userChange{}
	of := func(name string, m int8) *userChange {
		u, known := changes[name]
		if !known {
			u = &userChange{name: name, named: map[scram.Mechanism]bool{}}
			changes[name], users = u, append(users, name)
		}
		u.mention(scram.Mechanism(m))
		return u
	}
	for _, d := range r.Deletions {
		u := of(d.Name, d.Mechanism)
		u.remove = append(u.remove, scram.Mechanism(d.Mechanism))
	}
	for _, up := range r.Upsertions {
		u := of(up.Name, up.Mechanism)
		v, err := scram.FromSalted(scram.Mechanism(up.Mechanism), up.SaltedPassword, up.Salt, int(up.Iterations))
		u.set, u.err = append(u.set, v), cmp.Or(u.err, err)
	}
	denied := c.authorizeCluster(acl.Alter)
	for _, name := range users {
		u := changes[name]
		if denied != nil {
			u.err = denied
		}
		if u.err == nil {
			u.err = b.access.ChangeUser(name, u.set, u.remove)
		}
		err := credentialError(u.err)
		result := kmsg.NewAlterUserSCRAMCredentialsResponseResult()
		result.User = name
		result.ErrorCode, result.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}

// userChange is what a request changes of one user.
type userChange struct {
	name   string
	set    []scram.Verifier
	remove []scram.Mechanism
	named  map[scram.Mechanism]bool
	err    error // the first thing that is wrong
}

// mention notes that the request changes the user's credential of a mechanism.
func (c *userChange) mention(m scram.Mechanism) {
	if c.named[m] {
		c.err = cmp.Or(c.err, fmt.Errorf("%w: %s of user %q is changed twice in one request", kerr.DuplicateResource, m, c.name))
	}
	c.named[m] = true
}

// credentialError gives an error the code that Kafka has for it.
func credentialError(err error) error {
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(scram.ErrMechanism):
		return fmt.Errorf("%w: %w", kerr.UnsupportedSaslMechanism, err)
	case is(scram.ErrIterations), is(scram.ErrCredential), is(access.ErrName), is(access.ErrTooMany):
		return fmt.Errorf("%w: %w", kerr.UnacceptableCredential, err)
	case is(access.ErrNoCredential):
		return fmt.Errorf("%w: %w", kerr.ResourceNotFound, err)
	}
	return err
}
