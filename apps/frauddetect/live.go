package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// live makes the live line. It belongs to the goroutine of the display.
type live struct {
	job  *job
	last time.Time
	rows int64 // processed at that time
}

func (l *live) line() string {
	now := time.Now()
	elapsed := now.Sub(l.job.started).Seconds()
	app := l.job.app.Load()
	if app == nil {
		return fmt.Sprintf("%6.1f s  starting", elapsed)
	}
	stats := app.Stats()
	rate := float64(stats.Processed-l.rows) / now.Sub(l.last).Seconds()
	l.last, l.rows = now, stats.Processed

	var b strings.Builder
	fmt.Fprintf(&b, "%6.1f s  %s rows  %s/s  %s alerts  lag %s", elapsed, progress.Count(stats.Processed),
		progress.Count(int64(rate)), progress.Count(l.job.herald.count.Load()), progress.Count(stats.Lag))
	if bad := l.job.imp.Counts().Bad + stats.DeadLetters; bad > 0 {
		fmt.Fprintf(&b, "  %s dead letters", progress.Count(bad))
	}
	if stats.Restoring > 0 {
		fmt.Fprintf(&b, "  restoring %s", progress.Count(stats.Restoring))
	}
	if share := l.job.source.Progress(); share >= 0 {
		fmt.Fprintf(&b, "  read %.0f %%", share*100)
	}
	return b.String()
}
