package peers

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// BenchmarkRestart is the time from when an application and its broker, one process, were killed at work until the next process
// has committed records that it processed: the end of the dead one, the start, the recovery of the log and of the state.
// Records of 1 KiB come in all the time, over six partitions, and each becomes the state of its key.
func BenchmarkRestart(b *testing.B) {
	for _, c := range []struct {
		name string
		keys int
	}{
		{"64MiB", 64 << 10},
		{"1GiB", 1 << 20},
	} {
		b.Run(fmt.Sprintf("state=%s/engine=riffle", c.name), func(b *testing.B) {
			dir := filepath.Join(base, "restart-"+c.name)
			if _, err := os.Stat(dir); err != nil {
				first := startChild(b, dir, c.keys, true)
				first.await(b)
				first.kill(b)
			}
			var restored, rss float64
			for b.Loop() {
				b.StopTimer()
				child := startChild(b, dir, c.keys, false)
				child.await(b)
				<-time.After(childRuns)
				b.StartTimer()
				child.kill(b)
				next := startChild(b, dir, c.keys, false)
				restored += next.await(b)
				b.StopTimer()
				rss += float64(procValue(b, fmt.Sprintf("/proc/%d/status", next.cmd.Process.Pid), peakRSS)) / 1024
				next.kill(b)
				b.StartTimer()
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/restart")
			b.ReportMetric(restored/float64(b.N), "restored-records")
			b.ReportMetric(rss/float64(b.N), "peak-RSS-MiB")
			b.ReportMetric(0, "ns/op")
		})
	}
}

const (
	childValueSize = 1024
	childRate      = 10_000          // records a second
	childRuns      = 3 * time.Second // from the first commit to the kill
	// These make this program a child that runs an application in a directory until it is killed.
	childDir  = "RIFFLE_BENCH_CHILD"
	childKeys = "RIFFLE_BENCH_CHILD_KEYS"
	childFill = "RIFFLE_BENCH_CHILD_FILL" // set: every key once, as fast as it goes
)

// child is a process that runs the application.
type child struct {
	cmd *exec.Cmd
	out *bufio.Reader
}

func startChild(b *testing.B, dir string, keys int, fill bool) *child {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childKeys+"="+strconv.Itoa(keys))
	if fill {
		cmd.Env = append(cmd.Env, childFill+"=yes")
	}
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	check(b, err)
	check(b, cmd.Start())
	return &child{cmd, bufio.NewReader(out)}
}

// await waits until the child has done what it is there for, and returns how many records it read to restore its state.
func (c *child) await(b *testing.B) (restored float64) {
	b.Helper()
	line, err := c.out.ReadString('\n')
	if err == nil {
		_, err = fmt.Sscanf(line, "restored %f", &restored)
	}
	if err != nil {
		_ = c.cmd.Process.Kill()
		b.Fatalf("the application said %q: %v", line, err)
	}
	return restored
}

func (c *child) kill(b *testing.B) {
	b.Helper()
	check(b, c.cmd.Process.Kill())
	_ = c.cmd.Wait() // it says that it was killed
}

// runChild is what a child does. It returns false in a process that is none.
func runChild() bool {
	dir := os.Getenv(childDir)
	if dir == "" {
		return false
	}
	keys, err := strconv.Atoi(os.Getenv(childKeys))
	if err == nil {
		err = keepRunning(dir, keys, os.Getenv(childFill) != "")
	}
	fmt.Fprintln(os.Stderr, "child:", err)
	os.Exit(1)
	return true
}

// keepRunning runs the application, and says on standard output when it is at work or, with fill, has the state of all keys. It
// returns only if it cannot go on.
func keepRunning(dir string, keys int, fill bool) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	cluster := stream.Embedded(dir)
	if err := cluster.Open(ctx); err != nil {
		return err
	}
	in := stream.NewTopic("in", serde.String, serde.Bytes)
	if err := cluster.CreateTopics(ctx, 6, in.Name); err != nil {
		return err
	}
	latest := state.NewKeyValueStore("latest", serde.String, serde.Bytes)
	builder := stream.NewBuilder("restart")
	builder.From(in).Process("latest", func(c *stream.Context[string, int64], r stream.Record[string, []byte]) error {
		if err := latest.In(c).Put(r.Key, r.Value); err != nil {
			return err
		}
		return c.Forward(r.Key, r.Offset)
	}, latest).To(stream.NewTopic("out", serde.String, serde.Int64))
	topology, err := builder.Build()
	if err != nil {
		return err
	}
	app, err := stream.NewApp(topology, cluster, stream.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	go func() { cancel(app.Run(ctx)) }()
	go func() {
		if err := write(ctx, cluster, in, keys, fill); err != nil {
			cancel(err)
		}
	}()
	tick := time.NewTicker(time.Millisecond)
	for said := false; ctx.Err() == nil; <-tick.C {
		s := app.Stats()
		if !said && s.Commits > 0 && s.Processed > 0 && (!fill || s.Processed >= int64(keys)) {
			fmt.Println("restored", s.Restored)
			said = true
		}
	}
	return context.Cause(ctx)
}

// write writes a record for each key in turn, for ever unless it is to fill the state.
func write(ctx context.Context, cluster *stream.Cluster, in stream.Topic[string, []byte], keys int, fill bool) error {
	w, err := stream.NewWriter(ctx, cluster, in, stream.WriterConfig{})
	if err != nil {
		return err
	}
	value := make([]byte, childValueSize)
	tick := time.NewTicker(time.Second / childRate * 10)
	for i := 0; !fill || i < keys; i++ {
		if !fill && i%10 == 0 {
			<-tick.C
		}
		if err := w.Write(ctx, stream.Record[string, []byte]{Key: fmt.Sprintf("key-%012d", i%keys), Value: value, Time: time.Now()}); err != nil {
			return err
		}
	}
	return w.Close()
}
