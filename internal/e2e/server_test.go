package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// server is a running `riffle server`.
type server struct {
	addr string
	cmd  *exec.Cmd
	log  *bytes.Buffer
}

// startServer starts a server on dir and waits until it answers. The test kills
// it at the end, if it has not done so itself.
func startServer(t *testing.T, dir, addr string) *server {
	t.Helper()
	return startServerWith(t, addr, "--dir", dir, "--listen", addr)
}

// startServerWith starts a server with these flags, which listens on addr.
func startServerWith(t *testing.T, addr string, flags ...string) *server {
	t.Helper()
	s := &server{addr: addr, log: new(bytes.Buffer)}
	s.cmd = exec.Command(program(t, "riffle"), append([]string{"server"}, flags...)...)
	s.cmd.Stdout, s.cmd.Stderr = io.Discard, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.kill() })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := waitForPort(ctx, addr); err != nil {
		s.kill()
		t.Fatalf("riffle server on %s: %v\n%s", addr, err, tail(s.log.String()))
	}
	return s
}

// kill ends the server as a crash would, and waits until it is gone.
func (s *server) kill() {
	_ = s.cmd.Process.Signal(syscall.SIGKILL) // already gone is fine
	_ = s.cmd.Wait()                          // "signal: killed" is what was wanted
}

// waitForPort returns when addr accepts connections.
func waitForPort(ctx context.Context, addr string) error {
	retry := time.NewTicker(20 * time.Millisecond)
	defer retry.Stop()
	for {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-retry.C:
		}
	}
}

// freeAddr is an address on the loopback that nobody listens on now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
