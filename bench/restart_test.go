package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// restartGiB is how much log the server of BenchmarkRestart starts with.
func restartGiB(b *testing.B) float64 {
	b.Helper()
	text := os.Getenv("RIFFLE_BENCH_LOG_GIB")
	if text == "" {
		return 0.25
	}
	size, err := strconv.ParseFloat(text, 64)
	if err != nil || size <= 0 {
		b.Fatalf("RIFFLE_BENCH_LOG_GIB is %q, want a number of GiB", text)
	}
	return size
}

// BenchmarkRestart is the time from the start of "riffle server" until clients can
// connect, on six partitions of records of 1 KiB: after it was stopped, and after it
// was killed while a producer wrote. RSS is the process's largest until then; served
// is after it took more records.
//
// RIFFLE_BENCH_LOG_GIB sets how much log there is. The default is a quarter.
func BenchmarkRestart(b *testing.B) {
	size := restartGiB(b)
	binary := filepath.Join(b.TempDir(), "riffle")
	if out, err := exec.CommandContext(b.Context(), "go", "build", "-o", binary, "../cmd/riffle").CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	dir := b.TempDir()
	s := startServer(b, binary, dir)
	createTopic(b, setup{partitions: 6, flush: "os"}, s.opts())
	l := load{valueSize: 1024, records: int(size * (1 << 30) / 1032)}
	l.fill(b, s.opts(), l.records)
	s.stop(b)

	for _, after := range []string{"stop", "kill"} {
		b.Run(fmt.Sprintf("log=%gGiB/after=%s/broker=riffle", size, after), func(b *testing.B) {
			var ready, served float64
			for b.Loop() {
				s := startServer(b, binary, dir)
				b.StopTimer()
				ready += s.rss(b)
				switch after {
				case "stop":
					l.fill(b, s.opts(), 10_000)
					served += s.rss(b)
					s.stop(b)
				case "kill":
					stop := l.write(b, s.opts())
					served += s.rss(b)
					s.kill(b)
					stop()
				}
				b.StartTimer()
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/start")
			b.ReportMetric(ready/float64(b.N), "ready-RSS-MiB")
			b.ReportMetric(served/float64(b.N), "served-RSS-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fill sends n records and waits for them.
func (l load) fill(b *testing.B, opts []kgo.Opt, n int) {
	b.Helper()
	const chunk = 100_000
	cl := client(b, opts)
	defer cl.Close()
	for ; n > 0; n -= chunk {
		part := load{records: min(n, chunk), valueSize: l.valueSize}
		part.produce(b, cl, part.make())
	}
}

// write sends records until stop is called, whatever becomes of them. When it returns
// 10,000 are acknowledged, and more are under way.
func (l load) write(b *testing.B, opts []kgo.Opt) (stop func()) {
	b.Helper()
	cl := client(b, opts)
	ctx, cancel := context.WithCancel(context.Background())
	done, busy := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		value := make([]byte, l.valueSize)
		for i := 0; ctx.Err() == nil; i++ {
			var acked func(*kgo.Record, error)
			if i == 10_000 {
				acked = func(*kgo.Record, error) { close(busy) }
			}
			cl.Produce(ctx, &kgo.Record{Value: value}, acked)
		}
	}()
	<-busy
	return func() {
		cancel()
		<-done
		cl.Close()
	}
}

// server is a process of "riffle server".
type server struct {
	cmd  *exec.Cmd
	addr string
}

var readyAt = regexp.MustCompile(` is ready at ([^,]*),`)

func startServer(b *testing.B, binary, dir string) *server {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), binary, "server", "--dir", dir, "--listen", "127.0.0.1:0", "--metrics-addr", "", "--log-level", "error")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if m := readyAt.FindStringSubmatch(line); err == nil && m != nil {
		return &server{cmd, m[1]}
	}
	_ = cmd.Process.Kill()
	b.Fatalf("the server said %q: %v", line, err)
	return nil
}

func (s *server) opts() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(s.addr)} }

func (s *server) stop(b *testing.B) {
	b.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		b.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}

func (s *server) kill(b *testing.B) {
	b.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		b.Fatal(err)
	}
	_ = s.cmd.Wait() // it says that it was killed
}

var peakRSS = regexp.MustCompile(`VmHWM:\s*(\d+) kB`)

// rss is the most memory that the process had so far, in MiB.
func (s *server) rss(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	m := peakRSS.FindSubmatch(status)
	if m == nil {
		b.Fatalf("no VmHWM in %s", status)
	}
	kib, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
