package broker

import (
	"context"
	"sync"
	"time"
)

// logins spaces the logins from each address. A fleet that starts at once is let in
// one after the other; somebody who tries passwords is slowed down.
type logins struct {
	perSecond int // immutable; also how many may come at once

	mu   sync.Mutex
	next map[string]time.Time // when an address that never pauses would log in next
}

func newLogins(perSecond int) *logins {
	return &logins{perSecond: perSecond, next: map[string]time.Time{}}
}

// wait returns when it is the turn of a login from ip, or ctx ends.
func (l *logins) wait(ctx context.Context, ip string) error {
	delay := l.reserve(ip, time.Now())
	if delay <= 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve takes the next turn of ip and returns how long it is until then.
func (l *logins) reserve(ip string, now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Connections that are not authenticated are limited, so there are few addresses
	// whose turn is not over.
	for other, next := range l.next {
		if next.Before(now) {
			delete(l.next, other)
		}
	}
	turn := l.next[ip]
	if turn.Before(now) {
		turn = now
	}
	l.next[ip] = turn.Add(time.Second / time.Duration(l.perSecond))
	return turn.Add(-time.Second).Sub(now)
}
