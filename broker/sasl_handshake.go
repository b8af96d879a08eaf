package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// SaslHandshake: v0-1
//
//   - v0: what follows are the messages of SASL themselves, without request headers,
//     until the login is over
//   - v1: what follows is SaslAuthenticate
//
// On a listener without SASL the answer is ILLEGAL_SASL_STATE, as in Kafka.
func handleSaslHandshake(b *Broker, ctx context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.SASLHandshakeRequest)
	resp := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
	if !c.auth.required {
		resp.ErrorCode = b.metrics.failed(r.Key(), fmt.Errorf("%w: the listener has no SASL", kerr.IllegalSaslState))
		return resp, nil
	}
	resp.SupportedMechanisms = c.listener.mechanisms
	if !slices.Contains(c.listener.mechanisms, r.Mechanism) {
		resp.ErrorCode = b.metrics.failed(r.Key(), kerr.UnsupportedSaslMechanism)
		c.loginFailed(ctx, fmt.Errorf("the mechanism %.32q is not offered", r.Mechanism))
		return resp, nil
	}
	c.auth.mechanism = r.Mechanism
	c.auth.rawTokens.Store(r.Version == 0)
	return resp, nil
}

// rawAnswer is a message of SASL, without a response around it.
type rawAnswer struct {
	kmsg.Response // nil
	token         []byte
}

// handleRawToken takes a message of SASL that came without a request around it. There
// is no place for an error: a failed login just ends the connection.
func (c *conn) handleRawToken(token []byte) (kmsg.Response, error) {
	answer, err := c.authenticate(c.ctx, token)
	if err != nil {
		return nil, c.auth.failed
	}
	c.auth.rawTokens.Store(c.auth.login != nil)
	return rawAnswer{token: answer}, nil
}
