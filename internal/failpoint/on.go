//go:build failpoints

package failpoint

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

// armed is the point that kills, and left how many hits it takes.
var armed, left = fromEnv(os.Getenv("RIFFLE_FAILPOINT"))

func fromEnv(s string) (string, *atomic.Int64) {
	name, count, _ := strings.Cut(s, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil {
		n = 1
	}
	hits := new(atomic.Int64)
	hits.Store(n)
	return name, hits
}

// Hit kills the process if RIFFLE_FAILPOINT says so. Nothing runs after it.
func Hit(name string) {
	if name == armed && left.Add(-1) == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
