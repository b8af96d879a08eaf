package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DescribeUserScramCredentials: v0, flexible (KIP-554)
//
// Salts and keys are not shown.
func handleDescribeUserScramCredentials(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeUserSCRAMCredentialsRequest)
	resp := r.ResponseKind().(*kmsg.DescribeUserSCRAMCredentialsResponse)
	if err := c.authorizeCluster(acl.Describe); err != nil {
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	names := b.access.Users()
	if len(r.Users) > 0 {
		names = nil
		for _, u := range r.Users {
			names = append(names, u.Name)
		}
	}
	asked := map[string]int{}
	for _, name := range names {
		asked[name]++
	}
	for _, name := range names {
		if asked[name] == 0 {
			continue // it has its answer
		}
		result := kmsg.NewDescribeUserSCRAMCredentialsResponseResult()
		result.User = name
		var err error
		for _, v := range b.access.Verifiers(name) {
			info := kmsg.NewDescribeUserSCRAMCredentialsResponseResultCredentialInfo()
			info.Mechanism, info.Iterations = int8(v.Mechanism), int32(v.Iterations)
			result.CredentialInfos = append(result.CredentialInfos, info)
		}
		switch {
		case asked[name] > 1:
			result.CredentialInfos = nil
			err = fmt.Errorf("%w: cannot describe user %q twice in one request", kerr.DuplicateResource, name)
		case len(result.CredentialInfos) == 0:
			err = fmt.Errorf("%w: there is no user %q with SCRAM credentials", kerr.ResourceNotFound, name)
		}
		asked[name] = 0
		result.ErrorCode, result.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		resp.Results = append(resp.Results, result)
	}
	return resp, nil
}
