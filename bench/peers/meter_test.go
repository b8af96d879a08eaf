package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// reading is what this process has used so far.
type reading struct {
	at             time.Time
	cpu            time.Duration
	allocs, allocB uint64
	written        int64 // bytes given to the file system that are to reach the disk
}

func read(b *testing.B) reading {
	b.Helper()
	r := reading{at: time.Now(), written: procValue(b, "/proc/self/io", writeBytes)}
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	r.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	heap := []metrics.Sample{{Name: "/gc/heap/allocs:objects"}, {Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(heap)
	r.allocs, r.allocB = heap[0].Value.Uint64(), heap[1].Value.Uint64()
	return r
}

// report says what was used for each of n records between two readings.
func report(b *testing.B, from, to reading, n int64) {
	each := float64(n)
	b.ReportMetric(0, "ns/op") // an operation is as large as the workload happens to be
	b.ReportMetric(each/to.at.Sub(from.at).Seconds(), "records/s")
	b.ReportMetric(float64((to.cpu-from.cpu).Nanoseconds())/each, "cpu-ns/record")
	b.ReportMetric(float64(to.allocs-from.allocs)/each, "allocs/record")
	b.ReportMetric(float64(to.allocB-from.allocB)/each, "alloc-B/record")
	b.ReportMetric(float64(to.written-from.written)/each, "written-B/record")
	b.ReportMetric(float64(procValue(b, "/proc/self/status", peakRSS))/1024, "peak-RSS-MiB")
}

var (
	rss        = regexp.MustCompile(`VmRSS:\s*(\d+) kB`)
	peakRSS    = regexp.MustCompile(`VmHWM:\s*(\d+) kB`)
	writeBytes = regexp.MustCompile(`(?m)^write_bytes: (\d+)`)
)

func procValue(b *testing.B, file string, value *regexp.Regexp) int64 {
	b.Helper()
	text, err := os.ReadFile(file)
	check(b, err)
	m := value.FindSubmatch(text)
	if m == nil {
		b.Fatalf("no %v in %s", value, file)
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	check(b, err)
	return n
}

// profile writes a CPU profile of what is measured to RIFFLE_BENCH_PROFILES, if that names a directory.
func profile(b *testing.B) (stop func()) {
	b.Helper()
	dir := os.Getenv("RIFFLE_BENCH_PROFILES")
	if dir == "" {
		return func() {}
	}
	f, err := os.Create(filepath.Join(dir, strings.ReplaceAll(b.Name(), "/", ",")+".pprof"))
	check(b, err)
	check(b, pprof.StartCPUProfile(f))
	stop = sync.OnceFunc(func() {
		pprof.StopCPUProfile()
		check(b, f.Close())
	})
	b.Cleanup(stop)
	return stop
}

// settle gives back what earlier runs have left in memory, so that the peak is the next one's.
func settle(b *testing.B) {
	b.Helper()
	debug.FreeOSMemory()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil {
		fmt.Fprintln(os.Stderr, "the peak of memory is that of all runs so far:", err)
	}
}
