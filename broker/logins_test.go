package broker

import (
	"testing"
	"time"
)

// A burst is let in at once, what follows at the rate; addresses do not wait for each
// other, and those that are quiet are forgotten.
func TestLoginsAreSpaced(t *testing.T) {
	t.Parallel()
	l := newLogins(20)
	now := time.Unix(1000, 0)
	for i := range 60 {
		want := max(0, time.Duration(i-20)*50*time.Millisecond)
		if got := max(0, l.reserve("a", now)); got != want {
			t.Errorf("login %d waits %v, want %v", i, got, want)
		}
	}
	if got := l.reserve("b", now); got > 0 {
		t.Errorf("another address waits %v", got)
	}
	now = now.Add(10 * time.Second)
	if got := l.reserve("c", now); got > 0 || len(l.next) != 1 {
		t.Errorf("later a third address waits %v, %d addresses are known", got, len(l.next))
	}
}
