package broker

import (
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/quota"
)

// Types of entities in requests about quotas.
const (
	quotaOfUser     = "user"
	quotaOfClientID = "client-id"
)

// throttle counts what a request did against the client's quota. If that was too much
// the client has to pause: the client is told, and its connection is not served until
// then, so that one that does not listen gains nothing.
func (c *conn) throttle(r reply, resp kmsg.Response) {
	var (
		kind  quota.Kind
		bytes int
	)
	switch resp := resp.(type) {
	case *produceResponse:
		kind, bytes = quota.Produce, len(r.req.frame)
	case *fetchResponse:
		kind, bytes = quota.Fetch, resp.held
	default:
		return
	}
	share, limited := c.b.access.Quotas().Share(kind, c.auth.principal, r.req.clientID)
	if !limited {
		return
	}
	now := time.Now()
	if pause := c.b.meter.count(share, bytes, now); pause > 0 {
		c.b.metrics.throttled.WithLabelValues(kind.String()).Add(pause.Seconds())
		c.mutedUntil = now.Add(pause)
		if t, ok := resp.(kmsg.SetThrottleResponse); ok {
			t.SetThrottle(int32((pause + time.Millisecond - 1) / time.Millisecond))
		}
	}
}

// muted reports whether the client has to pause.
func (c *conn) muted() bool { return !c.mutedUntil.IsZero() && time.Now().Before(c.mutedUntil) }

// awaitUnmuted returns when the pause is over, or the connection is.
func (c *conn) awaitUnmuted() {
	if !c.muted() {
		return
	}
	timer := time.NewTimer(time.Until(c.mutedUntil))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
}

// meter is a quota.Meter for all connections.
type meter struct {
	mu    sync.Mutex
	meter *quota.Meter
}

func (m *meter) count(s quota.Share, bytes int, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meter.Count(s, bytes, now)
}

// quotaPart is a name in a request, where null stands for the default.
func quotaPart(name *string) quota.Part {
	if name == nil {
		return quota.Default
	}
	return quota.Named(*name)
}

// checkQuotaType says why an entity of that type cannot have a quota.
func checkQuotaType(name string) error {
	if name == quotaOfUser || name == quotaOfClientID {
		return nil
	}
	return fmt.Errorf("%w: entities of type %.64q have no quotas here, those of type %s and %s have", kerr.InvalidRequest, name, quotaOfUser, quotaOfClientID)
}
