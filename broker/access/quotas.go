package access

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/quota"
)

// MaxQuotas limits the entities that have quotas.
const MaxQuotas = 10_000

// Quotas are the limits as they are now.
func (s *Store) Quotas() *quota.Table { return s.current.Load().quotas }

// SetQuota replaces the limits of an entity; none at all remove it.
func (s *Store) SetQuota(e quota.Entity, l quota.Limits) error {
	if err := e.Validate(); err != nil {
		return err
	}
	if err := l.Validate(); err != nil {
		return err
	}
	return s.change(func(st *state) error {
		st.quotas = st.quotas.With(e, l)
		if n := st.quotas.Len(); n > MaxQuotas {
			return fmt.Errorf("%w: quotas for %d entities, at most %d are kept", ErrTooMany, n, MaxQuotas)
		}
		return nil
	})
}
