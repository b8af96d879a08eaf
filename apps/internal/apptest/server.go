package apptest

import (
	"bufio"
	"bytes"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is an app that serves its API.
type Server struct {
	URL string
	// Token is that of its user admin.
	Token string

	cmd  *exec.Cmd
	out  sync.WaitGroup // until its outputs have ended
	lock sync.Mutex
	text bytes.Buffer
}

// Start starts an app by a command that serves an API on a free port of the loopback, with its data in dir, and waits until it is ready.
func Start(t testing.TB, name, dir string, args ...string) *Server {
	t.Helper()
	s := &Server{cmd: Command(t, name, append(args, "--dir", dir, "--addr", "127.0.0.1:0")...)}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stderr = s
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for s.URL == "" && lines.Scan() {
		_, _ = s.Write(append(lines.Bytes(), '\n'))
		s.URL = strings.TrimPrefix(lines.Text(), "listening on ")
		if s.URL == lines.Text() {
			s.URL = ""
		}
	}
	if s.URL == "" {
		_ = s.cmd.Wait()
		t.Fatalf("%s does not listen:\n%s", name, s.Output())
	}
	s.out.Go(func() {
		for lines.Scan() {
			_, _ = s.Write(append(lines.Bytes(), '\n'))
		}
	})
	text, err := os.ReadFile(dir + "/api-tokens")
	if err != nil {
		t.Fatal(err)
	}
	s.Token = strings.TrimSpace(strings.TrimPrefix(string(text), "admin ="))
	s.awaitReady(t)
	return s
}

func (s *Server) awaitReady(t testing.TB) {
	t.Helper()
	for t.Context().Err() == nil {
		response, err := http.Get(s.URL + "/readyz")
		if err != nil {
			t.Fatalf("it does not answer: %v\n%s", err, s.Output())
		}
		_ = response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Write takes what the app prints.
func (s *Server) Write(b []byte) (int, error) {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.text.Write(b)
}

// Output is what it has printed so far.
func (s *Server) Output() string {
	s.lock.Lock()
	defer s.lock.Unlock()
	return s.text.String()
}

// Stop sends it the signal that Ctrl-C does, and waits for its end.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	s.out.Wait()
	if err := s.cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v\n%s", err, s.Output())
	}
}

// CPU is the processor time that it took, once it has ended.
func (s *Server) CPU() time.Duration {
	return s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

// Kill kills it.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	s.out.Wait()
	_ = s.cmd.Wait() // killed
}
