package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/riffle-stream/riffle/apps/frauddetect/rules"
	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// summary is what a run did. Its JSON form is what --report writes.
type summary struct {
	Source string `json:"source"`
	// Rows is how many rows of the source have been read, by this run or an earlier one in the same directory: those
	// processed, and those in the dead letters.
	Rows int64 `json:"rows"`
	// Resumed are the rows of an earlier run among them.
	Resumed int64 `json:"resumed"`
	// BadRows are rows that did not parse; DeadLetters further records that could not be processed by this run.
	BadRows     int64 `json:"badRows"`
	DeadLetters int64 `json:"deadLetters"`
	// Alerts are those in the topic, of all runs in the same directory.
	Alerts found `json:"alerts"`
	// Processed is the number of records that this run processed, in Seconds.
	Processed       int64   `json:"processed"`
	Seconds         float64 `json:"seconds"`
	RowsPerSecond   float64 `json:"rowsPerSecond"`
	PeakMemoryBytes int64   `json:"peakMemoryBytes,omitzero"`
}

func (s summary) String() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "  %-13s"+format+"\n", append([]any{name}, args...)...)
	}
	fmt.Fprintln(&b, s.Source)
	line("rows", "%s", progress.Count(s.Rows))
	if s.Resumed > 0 {
		line("", "%s of them were read by an earlier run", progress.Count(s.Resumed))
	}
	line("alerts", "%s", progress.Count(s.Alerts.total()))
	for _, rule := range rules.Names() {
		line("", "%-20s %s", rule, progress.Count(s.Alerts.ByRule[rule]))
	}
	line("dead letters", "%s", progress.Count(s.BadRows+s.DeadLetters))
	line("time", "%.1f s, %s rows/s", s.Seconds, progress.Count(int64(s.RowsPerSecond)))
	if s.PeakMemoryBytes > 0 {
		line("peak memory", "%d MiB", s.PeakMemoryBytes>>20)
	}
	return b.String()
}

// peakMemory returns the most memory that the process ever had, or 0 where the system does not say.
func peakMemory() int64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(string(rest)), " kB"), 10, 64)
			if err != nil {
				return 0
			}
			return kilobytes << 10
		}
	}
	return 0
}
