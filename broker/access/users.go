package access

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/riffle-stream/riffle/broker/scram"
)

// MaxUsers limits the users of a broker, MaxNameBytes the length of their names.
const (
	MaxUsers     = 10_000
	MaxNameBytes = 256
)

// Errors of ChangeUser.
var (
	// ErrNoCredential means that a user has no credential of that mechanism.
	ErrNoCredential = errors.New("access: no such credential")
	// ErrName means that the name of a user is empty or too long.
	ErrName = errors.New("access: bad user name")
	// ErrTooMany means that there is no room for more.
	ErrTooMany = errors.New("access: too many entries")
)

// Credential is one way in which one user can log in.
type Credential struct {
	User      string
	Mechanism scram.Mechanism
}

// Verifier returns the verifier of a credential.
func (s *Store) Verifier(c Credential) (v scram.Verifier, ok bool) {
	v, ok = s.current.Load().users[c.User][c.Mechanism]
	return v, ok
}

// Users are the names of all users that can log in, sorted.
func (s *Store) Users() []string {
	return slices.Sorted(maps.Keys(s.current.Load().users))
}

// Verifiers are the verifiers of a user, in the order of the mechanisms' numbers.
func (s *Store) Verifiers(name string) []scram.Verifier {
	u := s.current.Load().users[name]
	var vs []scram.Verifier
	for _, m := range slices.Sorted(maps.Keys(u)) {
		vs = append(vs, u[m])
	}
	return vs
}

// ChangeUser sets credentials of a user, and removes others, in one step. A user that
// has no credential left is gone.
func (s *Store) ChangeUser(name string, set []scram.Verifier, remove []scram.Mechanism) error {
	if err := ValidateName(name); err != nil {
		return err
	}
	for _, v := range set {
		if err := v.Validate(); err != nil {
			return err
		}
	}
	return s.change(func(st *state) error {
		u := maps.Clone(st.users[name])
		for _, m := range remove {
			if _, ok := u[m]; !ok {
				return fmt.Errorf("%w: %s of user %q", ErrNoCredential, m, name)
			}
			delete(u, m)
		}
		for _, v := range set {
			if u == nil {
				u = user{}
			}
			u[v.Mechanism] = v
		}
		if _, known := st.users[name]; !known && len(st.users) >= MaxUsers {
			return fmt.Errorf("%w: there are %d users", ErrTooMany, len(st.users))
		}
		if st.users[name] = u; len(u) == 0 {
			delete(st.users, name)
		}
		return nil
	})
}

// ValidateName checks the name of a user: 1 to 256 bytes. The error matches ErrName.
func ValidateName(name string) error {
	if name == "" || len(name) > MaxNameBytes {
		return fmt.Errorf("%w: %d bytes, want 1 to %d", ErrName, len(name), MaxNameBytes)
	}
	return nil
}

// change applies a change to a copy of the state and makes it durable.
func (s *Store) change(apply func(*state) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.current.Load().clone()
	if err := apply(st); err != nil {
		return err
	}
	return s.commitLocked(st)
}

func (st *state) clone() *state {
	c := *st
	c.users = maps.Clone(st.users)
	return &c
}
