package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/quota"
)

// DescribeClientQuotas: v0-1
//
//   - v1: flexible
//
// A strict filter chooses entities that have just the types that it names; otherwise
// they may have more.
func handleDescribeClientQuotas(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeClientQuotasRequest)
	resp := r.ResponseKind().(*kmsg.DescribeClientQuotasResponse)
	err := c.authorizeCluster(acl.DescribeConfigs)
	var user, clientID *kmsg.DescribeClientQuotasRequestComponent
	for i := range r.Components {
		rc := &r.Components[i]
		into := &user
		if rc.EntityType == quotaOfClientID {
			into = &clientID
		}
		switch {
		case err != nil:
		case checkQuotaType(rc.EntityType) != nil:
			err = checkQuotaType(rc.EntityType)
		case *into != nil:
			err = fmt.Errorf("%w: type %s is named twice", kerr.InvalidRequest, rc.EntityType)
		case rc.MatchType == kmsg.QuotasMatchTypeExact && rc.Match == nil || rc.MatchType < kmsg.QuotasMatchTypeExact || rc.MatchType > kmsg.QuotasMatchTypeAny:
			err = fmt.Errorf("%w: match type %d of %s needs a name, or does not exist", kerr.InvalidRequest, rc.MatchType, rc.EntityType)
		}
		*into = rc
	}
	if err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	resp.Entries = []kmsg.DescribeClientQuotasResponseEntry{}
	table := b.access.Quotas()
	for _, e := range table.Entities() {
		if !quotaChosen(user, e.User, r.Strict) || !quotaChosen(clientID, e.ClientID, r.Strict) {
			continue
		}
		se := kmsg.NewDescribeClientQuotasResponseEntry()
		add := func(name string, part quota.Part) {
			if !part.Open() {
				se.Entity = append(se.Entity, kmsg.DescribeClientQuotasResponseEntryEntity{Type: name, Name: orDefault(part)})
			}
		}
		add(quotaOfUser, e.User)
		add(quotaOfClientID, e.ClientID)
		for k, rate := range table.Limits(e) {
			if rate > 0 {
				se.Values = append(se.Values, kmsg.DescribeClientQuotasResponseEntryValue{Key: quota.Kind(k).String(), Value: rate})
			}
		}
		resp.Entries = append(resp.Entries, se)
	}
	return resp, nil
}

// quotaChosen reports whether a filter for one type, or none, chooses an entity with
// that part.
func quotaChosen(f *kmsg.DescribeClientQuotasRequestComponent, p quota.Part, strict bool) bool {
	if f == nil {
		return p.Open() || !strict
	}
	switch f.MatchType {
	case kmsg.QuotasMatchTypeExact:
		return !p.Open() && p == quota.Named(*f.Match)
	case kmsg.QuotasMatchTypeDefault:
		return p.Default
	}
	return !p.Open()
}

// orDefault is the name of a part, null for the default.
func orDefault(p quota.Part) *string {
	if p.Default {
		return nil
	}
	return &p.Name
}
