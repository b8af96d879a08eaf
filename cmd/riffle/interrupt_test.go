package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/broker/brokertest"
)

// running is a command that runs in this process.
type running struct {
	t         *testing.T
	stdin     *io.PipeWriter
	stdout    *bufio.Reader
	stderr    *bytes.Buffer // to be read after wait
	interrupt context.CancelFunc
	code      chan int
}

// start starts a command with pipes to it.
func start(t *testing.T, args ...string) *running {
	ctx, cancel := context.WithCancel(t.Context())
	in, stdin := io.Pipe()
	stdout, out := io.Pipe()
	r := &running{t, stdin, bufio.NewReader(stdout), new(bytes.Buffer), cancel, make(chan int, 1)}
	go func() {
		r.code <- run(ctx, args, streams{in, out, r.stderr})
		out.Close()
	}()
	t.Cleanup(func() { stdin.Close(); stdout.Close() })
	return r
}

// line returns the next line of the output.
func (r *running) line() string {
	r.t.Helper()
	line, err := r.stdout.ReadString('\n')
	if err != nil {
		r.t.Fatalf("read the output: %v; exit code %d\n%s", err, <-r.code, r.stderr)
	}
	return strings.TrimSuffix(line, "\n")
}

// wait checks how the command ends and returns what it wrote to standard error.
func (r *running) wait(code int) string {
	r.t.Helper()
	_, _ = io.Copy(io.Discard, r.stdout)
	if got := <-r.code; got != code {
		r.t.Errorf("exit code %d, want %d\n%s", got, code, r.stderr)
	}
	return r.stderr.String()
}

// once runs a command to its end, which must be good.
func once(t *testing.T, stdin string, args ...string) {
	t.Helper()
	r := start(t, args...)
	go func() { // a command that fails does not read
		if stdin != "" {
			_, _ = io.WriteString(r.stdin, stdin)
		}
		r.stdin.Close()
	}()
	r.wait(exitOK)
}

// Following goes on until Ctrl-C, which is no failure, and a group has then committed what was printed.
func TestFollow(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.TCP())
	once(t, "", "topic", "create", "payments", "-b", b.Addr(), "-p", "2")
	for _, group := range []string{"", "billing"} {
		args := []string{"consume", "payments", "-b", b.Addr(), "-o", "-1"}
		if group != "" {
			args = append(args, "-g", group)
		}
		once(t, "before\n", "produce", "payments", "-b", b.Addr(), "-p", "0")
		r := start(t, args...)
		if got := r.line(); got != "before" {
			t.Errorf("group %q: printed %q first, want what was there", group, got)
		}
		once(t, "after\n", "produce", "payments", "-b", b.Addr(), "-p", "0")
		if got := r.line(); got != "after" {
			t.Errorf("group %q: printed %q then, want what came", group, got)
		}
		r.interrupt()
		if said := r.wait(exitOK); said != "" {
			t.Errorf("group %q: said %q", group, said)
		}
	}
	again := start(t, "consume", "payments", "-b", b.Addr(), "-g", "billing", "-e")
	if rest, _ := io.ReadAll(again.stdout); len(rest) > 0 {
		t.Errorf("the group reads %q again", rest)
	}
	again.wait(exitOK)
}

// With -e a member exits when the group has read what was there, whoever of its members did.
func TestGroupExitsWithOthers(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.TCP())
	once(t, "", "topic", "create", "payments", "-b", b.Addr(), "-p", "2")
	once(t, "one\n", "produce", "payments", "-b", b.Addr(), "-p", "0")
	other := start(t, "consume", "payments", "-b", b.Addr(), "-g", "billing")
	if got := other.line(); got != "one" {
		t.Errorf("printed %q, want one", got)
	}
	once(t, "", "consume", "payments", "-b", b.Addr(), "-g", "billing", "-e")
	other.interrupt()
	other.wait(exitOK)
}

// A server stops in order when it is asked to, also with clients that wait for records, and says that it does.
func TestServerStops(t *testing.T) {
	t.Parallel()
	s := start(t, "server", "--dir", t.TempDir(), "--listen", "127.0.0.1:0")
	addr := readyAddr(t, s.line())
	once(t, "", "topic", "create", "payments", "-b", addr)
	once(t, "one\n", "produce", "payments", "-b", addr)
	follower := start(t, "consume", "payments", "-b", addr, "--timeout", "500ms")
	if got := follower.line(); got != "one" {
		t.Errorf("consume printed %q, want one", got)
	}
	began := time.Now()
	s.interrupt()
	if log := s.wait(exitOK); !strings.Contains(log, "riffle: stopped") {
		t.Errorf("the log does not say that the server stopped:\n%s", log)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the stop took %v, although no request was under way", took)
	}
	// Who follows hears of it, in bounded time.
	if said := follower.wait(exitFailure); !strings.Contains(said, "no broker answers at "+addr) {
		t.Errorf("consume said %q, want the address of the broker that has gone", said)
	}
}

// readyAddr is the address in the server's ready line.
func readyAddr(t *testing.T, line string) string {
	t.Helper()
	_, rest, ok := strings.Cut(line, "is ready at ")
	addr, _, found := strings.Cut(rest, ",")
	if _, _, err := net.SplitHostPort(addr); !ok || !found || err != nil {
		t.Fatalf("ready line %q: want an address", line)
	}
	return addr
}

// A broker that goes while records are written is a failure of those that were not acknowledged, in bounded time; the
// rest of the input is not read, however long it would be.
func TestBrokerGoesWhileProducing(t *testing.T) {
	t.Parallel()
	for _, acks := range []string{"all", "1", "0"} {
		b := brokertest.Start(t, brokertest.TCP())
		once(t, "", "topic", "create", "payments", "-b", b.Addr())
		r := start(t, "produce", "payments", "-b", b.Addr(), "--timeout", "500ms", "--acks", acks)
		_, _ = io.WriteString(r.stdin, "one\n")
		f := start(t, "consume", "payments", "-b", b.Addr(), "-n", "1")
		if got := f.line(); got != "one" {
			t.Errorf("consume printed %q, want one", got)
		}
		f.wait(exitOK)
		brokertest.Stop(t, b)
		_, _ = io.WriteString(r.stdin, "two\nthree\n")
		said := r.wait(exitFailure)
		for _, want := range []string{"1 record written to payments", "2 of 3 records failed", "no broker answers at " + b.Addr()} {
			if !strings.Contains(said, want) {
				t.Errorf("--acks %s: said %q, want %q", acks, said, want)
			}
		}
	}
}

// Ctrl-C keeps what was read so far and is a failure: the rest of the input is not written.
func TestInterruptProduce(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.TCP())
	once(t, "", "topic", "create", "payments", "-b", b.Addr())
	r := start(t, "produce", "payments", "-b", b.Addr())
	_, _ = io.WriteString(r.stdin, "one\n")
	f := start(t, "consume", "payments", "-b", b.Addr(), "-n", "1")
	f.wait(exitOK)
	r.interrupt()
	said := r.wait(exitFailure)
	if !strings.Contains(said, "1 record written to payments") || !strings.Contains(said, "interrupted: the rest of the input is not read") {
		t.Errorf("said %q", said)
	}
}

// A topic that is deleted while it is followed ends the command.
func TestTopicDeletedWhileFollowing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.TCP())
	once(t, "", "topic", "create", "payments", "-b", b.Addr())
	once(t, "one\n", "produce", "payments", "-b", b.Addr())
	r := start(t, "consume", "payments", "-b", b.Addr())
	r.line()
	once(t, "", "topic", "delete", "payments", "--yes", "-b", b.Addr())
	if said := r.wait(exitFailure); !strings.Contains(said, `there is no topic "payments"`) {
		t.Errorf("said %q", said)
	}
}

// A server that is just starting is waited for.
func TestWaitForServer(t *testing.T) {
	t.Parallel()
	addr, err := freeAddr()
	if err != nil {
		t.Fatal(err)
	}
	l := start(t, "topic", "list", "-b", addr, "--timeout", "20s")
	s := start(t, "server", "--dir", t.TempDir(), "--listen", addr, "--metrics-addr", "")
	s.line()
	l.wait(exitOK)
	s.interrupt()
	s.wait(exitOK)
}
