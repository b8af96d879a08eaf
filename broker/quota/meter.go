package quota

import (
	"time"
)

// MeterConfig tunes a Meter. The zero value is a working configuration.
type MeterConfig struct {
	// Window is for how long a client may save up what it does not use
	// (quota.window.num times quota.window.size.seconds). The default is 10 seconds.
	Window time.Duration
	// MaxPause limits one pause, which for request_percentage is a second at most; a debt
	// that is left goes on with the next request. The default is 30 seconds.
	MaxPause time.Duration
	// MaxShares limits what is remembered. Beyond it something is forgotten, debt or
	// savings. The default is 10,000.
	MaxShares int
}

// WithDefaults fills in what is not set.
func (c MeterConfig) WithDefaults() MeterConfig {
	if c.Window == 0 {
		c.Window = 10 * time.Second
	}
	if c.MaxPause == 0 {
		c.MaxPause = 30 * time.Second
	}
	if c.MaxShares == 0 {
		c.MaxShares = 10_000
	}
	return c
}

// maxRequestPause limits pauses for time spent on requests, as in Kafka (one
// quota.window.size.seconds): heartbeats, which pay for it too, must not come too late.
const maxRequestPause = time.Second

// Meter counts what clients do.
type Meter struct {
	cfg    MeterConfig
	shares map[shareKey]account
}

// shareKey is a share, whatever its rate is.
type shareKey struct {
	kind   Kind
	entity Entity
}

// account is the bytes, or hundredths of a second, that a share has left; below zero it is
// in debt.
type account struct {
	left float64
	at   time.Time // when it was counted
}

// NewMeter returns a meter that has counted nothing.
func NewMeter(cfg MeterConfig) *Meter {
	return &Meter{cfg: cfg.WithDefaults(), shares: map[shareKey]account{}}
}

// Work is the amount of Request that time spent on requests is.
func Work(d time.Duration) (amount float64) { return 100 * d.Seconds() }

// Count takes an amount off a share, bytes or what Work says, and returns how long the
// client has to pause.
func (m *Meter) Count(s Share, amount float64, now time.Time) (pause time.Duration) {
	key := shareKey{s.Kind, s.Entity}
	a, known := m.shares[key]
	if !known {
		m.makeRoom()
		a = account{left: m.most(s.Rate), at: now}
	}
	if idle := now.Sub(a.at); idle > 0 {
		a.left, a.at = min(a.left+s.Rate*idle.Seconds(), m.most(s.Rate)), now
	}
	a.left -= amount
	m.shares[key] = a
	if a.left >= 0 {
		return 0
	}
	longest := m.cfg.MaxPause
	if s.Kind == Request {
		longest = min(longest, maxRequestPause)
	}
	return time.Duration(min(-a.left/s.Rate, longest.Seconds()) * float64(time.Second))
}

// most is what a share may save up.
func (m *Meter) most(rate float64) float64 { return rate * m.cfg.Window.Seconds() }

// makeRoom forgets shares until there is room for one more: which, is left to the
// map's order.
func (m *Meter) makeRoom() {
	for key := range m.shares {
		if len(m.shares) < m.cfg.MaxShares {
			return
		}
		delete(m.shares, key)
	}
}
