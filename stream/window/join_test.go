package window_test

import (
	"testing"
	"time"

	"github.com/riffle-stream/riffle/stream/window"
)

func TestJoin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		join              window.Join
		text              string
		left, right, keep int64
	}{
		{window.Within(time.Second).Grace(0), "between(1s, 1s).grace(0s)", 1000, 1000, 2000},
		{window.Between(0, time.Minute).Grace(time.Second), "between(0s, 1m0s).grace(1s)", 60_000, 0, 61_000},
		{window.Between(-time.Second, time.Minute).Grace(0), "between(-1s, 1m0s).grace(0s)", 60_000, 0, 60_000},
	}
	for _, test := range tests {
		j := test.join
		if j.Err != nil || j.String() != test.text || j.LeftReach() != test.left || j.RightReach() != test.right || j.Keep() != test.keep {
			t.Errorf("%v: reaches %d and %d, keeps for %d, %v; want %+v", j, j.LeftReach(), j.RightReach(), j.Keep(), j.Err, test)
		}
	}
}

func TestJoinMistakes(t *testing.T) {
	t.Parallel()
	for _, j := range []window.Join{window.Between(time.Second, -time.Minute).Grace(0), window.Within(time.Second).Grace(-1)} {
		if j.Err == nil {
			t.Errorf("%v has no error", j)
		}
	}
}
