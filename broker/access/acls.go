package access

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/acl"
)

// MaxACLs limits the bindings of a broker.
const MaxACLs = 10_000

// ACLs are the bindings as they are now.
func (s *Store) ACLs() *acl.Set { return s.current.Load().acls }

// AddACLs adds bindings. Those that are there already are no error.
func (s *Store) AddACLs(bindings ...acl.Binding) error {
	for _, b := range bindings {
		if err := b.Validate(); err != nil {
			return err
		}
	}
	return s.change(func(st *state) error {
		st.acls = st.acls.With(bindings...)
		if n := len(st.acls.Bindings()); n > MaxACLs {
			return fmt.Errorf("%w: %d ACLs, at most %d are kept", ErrTooMany, n, MaxACLs)
		}
		return nil
	})
}

// DeleteACLs removes the bindings that any of the filters chooses, and returns for
// each filter what it chose.
func (s *Store) DeleteACLs(filters ...acl.Filter) (deleted [][]acl.Binding, err error) {
	err = s.change(func(st *state) error {
		before := st.acls
		for _, f := range filters {
			chosen := before.Choose(f)
			deleted = append(deleted, chosen)
			st.acls = st.acls.Without(chosen...)
		}
		return nil
	})
	return deleted, err
}
