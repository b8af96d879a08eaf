package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/quota"
)

// AlterClientQuotas: v0-1
//
//   - v1: flexible
//
// producer_byte_rate, consumer_byte_rate and request_percentage are enforced, so they are
// accepted, from the next request of a client on. All others would be promises, and are
// refused: controller_mutation_rate, and those of addresses.
func handleAlterClientQuotas(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.AlterClientQuotasRequest)
	resp := r.ResponseKind().(*kmsg.AlterClientQuotasResponse)
	denied := c.authorizeCluster(acl.AlterConfigs)
	for i := range r.Entries {
		re := &r.Entries[i]
		err := denied
		if err == nil {
			err = b.alterQuota(re, r.ValidateOnly)
		}
		if err == nil && !r.ValidateOnly {
			b.cfg.Logger.Info("broker: quota altered", "by", c.auth.principal, "entity", re.Entity, "ops", re.Ops)
		}
		se := kmsg.NewAlterClientQuotasResponseEntry()
		se.ErrorCode, se.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		for _, e := range re.Entity {
			se.Entity = append(se.Entity, kmsg.AlterClientQuotasResponseEntryEntity{Type: e.Type, Name: e.Name})
		}
		resp.Entries = append(resp.Entries, se)
	}
	return resp, nil
}

// alterQuota changes the limits of one entity, all or none.
func (b *Broker) alterQuota(re *kmsg.AlterClientQuotasRequestEntry, validateOnly bool) error {
	e, err := quotaEntity(re)
	if err != nil {
		return err
	}
	limits := b.access.Quotas().Limits(e)
	seen := map[string]bool{}
	for _, op := range re.Ops {
		k, known := quota.ParseKind(op.Key)
		switch {
		case !known:
			return fmt.Errorf("%w: %.64q is not enforced here, %s, %s and %s are", kerr.InvalidRequest, op.Key, quota.Produce, quota.Fetch, quota.Request)
		case seen[op.Key]:
			return fmt.Errorf("%w: %s is set twice", kerr.InvalidRequest, op.Key)
		case op.Remove:
			limits[k] = 0
		case op.Value <= 0:
			return fmt.Errorf("%w: %s is %v, want more than 0", kerr.InvalidRequest, op.Key, op.Value)
		default:
			limits[k] = op.Value
		}
		seen[op.Key] = true
	}
	if err := limits.Validate(); err != nil {
		return fmt.Errorf("%w: %w", kerr.InvalidRequest, err)
	}
	if validateOnly {
		return nil
	}
	return b.access.SetQuota(e, limits)
}

func quotaEntity(re *kmsg.AlterClientQuotasRequestEntry) (e quota.Entity, err error) {
	for _, part := range re.Entity {
		if err := checkQuotaType(part.Type); err != nil {
			return e, err
		}
		into := &e.User
		if part.Type == quotaOfClientID {
			into = &e.ClientID
		}
		if !into.Open() || part.Name != nil && *part.Name == "" {
			return e, fmt.Errorf("%w: type %s is named twice, or its name is empty", kerr.InvalidRequest, part.Type)
		}
		*into = quotaPart(part.Name)
	}
	if err := e.Validate(); err != nil {
		return e, fmt.Errorf("%w: %w", kerr.InvalidRequest, err)
	}
	return e, nil
}
