package main

import (
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// liveness notices when the brokers of a client have gone. The client itself tries again for ever, in silence, which
// is right for a service and wrong for somebody who looks at a terminal.
//
// It is a hook of the client and safe for concurrent use.
type liveness struct {
	mu struct {
		sync.Mutex
		failing time.Time // since when there were only failures; zero if the last exchange went well
		cause   error
	}
}

var (
	_ kgo.HookBrokerConnect = (*liveness)(nil)
	_ kgo.HookBrokerE2E     = (*liveness)(nil)
)

// OnBrokerConnect is called for each attempt to connect.
func (l *liveness) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	l.note(err)
}

// OnBrokerE2E is called for each request and its answer.
func (l *liveness) OnBrokerE2E(_ kgo.BrokerMetadata, _ int16, e2e kgo.BrokerE2E) { l.note(e2e.Err()) }

func (l *liveness) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil:
		l.mu.failing, l.mu.cause = time.Time{}, nil
	case l.mu.failing.IsZero():
		l.mu.failing, l.mu.cause = time.Now(), err
	default:
		l.mu.cause = err
	}
}

// gone returns why the brokers are out of reach, if they have been for d or longer, and nil otherwise.
func (l *liveness) gone(d time.Duration) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.failing.IsZero() || time.Since(l.mu.failing) < d {
		return nil
	}
	return l.mu.cause
}
