package broker

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslAuthenticate: v0-2
//
//   - v1: how long the login is good for (KIP-368, see SASLConfig.MaxReauth)
//   - v2: flexible
//
// A failed login is answered with SASL_AUTHENTICATION_FAILED, after a while, and the
// connection ends. The answer is the same whatever was wrong.
func handleSaslAuthenticate(b *Broker, ctx context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.SASLAuthenticateRequest)
	resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
	resp.SASLAuthBytes = []byte{}
	if !c.auth.required {
		err := fmt.Errorf("%w: the listener has no SASL", kerr.IllegalSaslState)
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), err), errorMessage(err)
		return resp, nil
	}
	answer, err := c.authenticate(ctx, r.SASLAuthBytes)
	if err != nil {
		text := "Authentication failed: " + errPassword.Error()
		resp.ErrorCode, resp.ErrorMessage = b.metrics.failed(r.Key(), kerr.SaslAuthenticationFailed), &text
		return resp, nil
	}
	resp.SASLAuthBytes = answer
	if !c.auth.expires.IsZero() && c.auth.login == nil {
		resp.SessionLifetimeMillis = time.Until(c.auth.expires).Milliseconds()
	}
	return resp, nil
}
