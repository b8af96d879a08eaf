package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/apptest"
)

// TestManyIDs keeps many ids in state at once, and finds each of the first hundred thousand again when all the others have come. It tells how
// much memory that took: at the peak, of the process's own, and with what the kernel has mapped of its files.
//
// RIFFLE_DEDUP_IDS is their number: 10000000 takes minutes, so without it the test is skipped.
func TestManyIDs(t *testing.T) {
	text := os.Getenv("RIFFLE_DEDUP_IDS")
	if text == "" {
		t.Skip("it takes minutes: RIFFLE_DEDUP_IDS=10000000 runs it")
	}
	ids, err := strconv.Atoi(text)
	if err != nil || ids < 100_000 {
		t.Fatalf("RIFFLE_DEDUP_IDS=%s: want a number of at least 100000", text)
	}
	const again = 100_000
	input := filepath.Join(t.TempDir(), "payments.csv")
	writeIDs(t, input, ids, again)
	cmd := apptest.Command(t, "dedup", "payments", "--input", input, "--dir", t.TempDir(), "--window", "-1s")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended, own := make(chan struct{}), make(chan int64)
	go func() { own <- peakOfOwn(cmd.Process.Pid, ended) }()
	err = cmd.Wait()
	close(ended)
	if anonymous := <-own; err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	} else {
		whole := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
		t.Logf("peak memory: %d MiB of its own, %d MiB with mapped files\n%s", anonymous>>20, whole>>20, stdout.String())
	}
	for name, want := range map[string]int{"unique": ids, "exact": again, "conflict": 0} {
		found := regexp.MustCompile(`(?m)^  ` + name + ` +([\d,]+)$`).FindStringSubmatch(stdout.String())
		if found == nil || strings.ReplaceAll(found[1], ",", "") != strconv.Itoa(want) {
			t.Errorf("%s: %v, want %d", name, found, want)
		}
	}
}

// peakOfOwn looks at a process now and then, until it has ended.
func peakOfOwn(pid int, ended <-chan struct{}) (peak int64) {
	anonymous := regexp.MustCompile(`RssAnon:\s+(\d+) kB`)
	ticks := time.NewTicker(100 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ended:
			return peak
		case <-ticks.C:
		}
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if found := anonymous.FindSubmatch(status); err == nil && found != nil {
			kib, _ := strconv.ParseInt(string(found[1]), 10, 64) // digits, by the expression
			peak = max(peak, kib<<10)
		}
	}
}

// writeIDs writes payments of so many ids within an hour, and then the first ones again.
func writeIDs(t *testing.T, file string, ids, again int) {
	t.Helper()
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintln(w, "arrival_ms,event_id,event_ms,card,terminal,amount_cents")
	row := func(i, arrival int) {
		fmt.Fprintf(w, "%d,payment-%d,%d,%d,%d,%d\n", 1_500_000_000_000+arrival/3000, i, 1_500_000_000_000+i/3000, i%1_000_003, i%997, 100+i%9973)
	}
	for i := range ids {
		row(i, i)
	}
	for i := range again {
		row(i, ids+i)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
