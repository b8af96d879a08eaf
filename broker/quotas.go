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

// throttle counts what a request did against the client's quotas. If that was too much
// the client has to pause, for the longest of what they say: the client is told, and its
// connection is not served until then, so that one that does not listen gains nothing.
func (c *conn) throttle(r reply, resp kmsg.Response) {
	quotas := c.b.access.Quotas()
	if quotas.Len() == 0 {
		return
	}
	now := time.Now()
	pause := c.count(quotas, quota.Request, quota.Work(r.worked), r, now)
	switch resp := resp.(type) {
	case *produceResponse:
		pause = max(pause, c.count(quotas, quota.Produce, float64(len(r.req.frame)), r, now))
	case *fetchResponse:
		pause = max(pause, c.count(quotas, quota.Fetch, float64(resp.held), r, now))
	}
	if pause == 0 {
		return
	}
	c.mutedUntil = now.Add(pause)
	if t, ok := resp.(kmsg.SetThrottleResponse); ok {
		t.SetThrottle(int32((pause + time.Millisecond - 1) / time.Millisecond))
	}
}

// count takes an amount off the client's share and returns how long it has to pause.
func (c *conn) count(quotas *quota.Table, kind quota.Kind, amount float64, r reply, now time.Time) time.Duration {
	share, limited := quotas.Share(kind, c.auth.principal, r.req.clientID)
	if !limited {
		return 0
	}
	pause := c.b.meter.count(share, amount, now)
	if pause > 0 {
		c.b.metrics.throttled.WithLabelValues(kind.String()).Add(pause.Seconds())
	}
	return pause
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

func (m *meter) count(s quota.Share, amount float64, now time.Time) time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.meter.Count(s, amount, now)
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
