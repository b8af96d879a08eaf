package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/riffle-stream/riffle/internal/memnet"
)

var (
	_ net.Listener = (*memnet.Listener)(nil)
	_ net.Conn     = (*memnet.Conn)(nil)
)

func TestBytesArriveInOrderThroughAnyBuffer(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 7, 4096, 5000, 1 << 16} {
		t.Run(fmt.Sprintf("buffer=%d", size), func(t *testing.T) {
			t.Parallel()
			const seed = 11
			rng := rand.New(rand.NewPCG(seed, uint64(size)))
			want := make([]byte, 40_000)
			for i := range want {
				want[i] = byte(rng.Uint32())
			}
			client, server := memnet.Pair(size)
			go func() {
				for rest := want; len(rest) > 0; {
					k := min(1+int(rng.Uint32N(9000)), len(rest))
					if n, err := client.Write(rest[:k]); n != k || err != nil {
						t.Errorf("Write(%d bytes) = %d, %v", k, n, err)
					}
					rest = rest[k:]
				}
				client.Close()
			}()
			got, err := io.ReadAll(server)
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("read %d bytes, %v (equal: %v), want %d bytes in order", len(got), err, bytes.Equal(got, want), len(want))
			}
		})
	}
}

func TestWriteDoesNotWaitForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := memnet.Pair(1 << 10)
		if n, err := client.Write(make([]byte, 1<<10)); n != 1<<10 || err != nil {
			t.Fatalf("Write = %d, %v, want it to return at once", n, err)
		}
	})
}

func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := memnet.Pair(8)
		start := time.Now()

		client.SetReadDeadline(start.Add(3 * time.Second))
		_, err := client.Read(make([]byte, 1))
		wantTimeout(t, "Read", err, start, 3*time.Second)

		client.SetWriteDeadline(start.Add(5 * time.Second))
		n, err := client.Write(make([]byte, 12))
		wantTimeout(t, "Write", err, start, 5*time.Second)
		if n != 8 {
			t.Errorf("Write = %d bytes before the deadline, want the 8 that fit", n)
		}

		// A passed deadline fails at once, even with bytes waiting; a cleared one heals.
		server.SetDeadline(time.Now().Add(-time.Second))
		if _, err := server.Read(make([]byte, 8)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read after the deadline = %v, want os.ErrDeadlineExceeded", err)
		}
		server.SetDeadline(time.Time{})
		if n, err := io.ReadFull(server, make([]byte, 8)); n != 8 || err != nil {
			t.Errorf("Read without a deadline = %d, %v", n, err)
		}
	})
}

func TestDeadlineMovesUnderAWaitingRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := memnet.Pair(8)
		start := time.Now()
		client.SetReadDeadline(start.Add(time.Hour))
		done := make(chan error)
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		client.SetReadDeadline(start.Add(2 * time.Second))
		wantTimeout(t, "Read", <-done, start, 2*time.Second)

		client.SetReadDeadline(start.Add(3 * time.Second))
		go func() {
			_, err := client.Read(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		client.SetReadDeadline(start.Add(time.Minute))
		wantTimeout(t, "Read", <-done, start, time.Minute)
	})
}

func wantTimeout(t *testing.T, op string, err error, start time.Time, after time.Duration) {
	t.Helper()
	var ne net.Error
	if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
		t.Errorf("%s = %v, want a timeout that matches os.ErrDeadlineExceeded", op, err)
	}
	if got := time.Since(start); got != after {
		t.Errorf("%s ended after %v, want %v", op, got, after)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	client, server := memnet.Pair(64)
	if _, err := client.Write([]byte("last words")); err != nil {
		t.Fatal(err)
	}
	client.Close()
	client.Close() // twice is fine

	if got, err := io.ReadAll(server); string(got) != "last words" || err != nil {
		t.Errorf("after the peer closed: read %q, %v, want what it wrote and then EOF", got, err)
	}
	if _, err := server.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Write to a closed peer = %v, want io.ErrClosedPipe", err)
	}
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Read on a closed end = %v, want net.ErrClosed", err)
	}
	if _, err := client.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write on a closed end = %v, want net.ErrClosed", err)
	}
}

func TestCloseWakesBlockedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := memnet.Pair(4)
		other, server := memnet.Pair(4)
		type result struct {
			who string
			err error
		}
		results := make(chan result, 3)
		go func() { _, err := client.Read(make([]byte, 1)); results <- result{"own read", err} }()
		go func() { _, err := client.Write(make([]byte, 9)); results <- result{"own write", err} }()
		go func() { _, err := server.Write(make([]byte, 9)); results <- result{"peer's write", err} }()
		synctest.Wait()
		client.Close()
		other.Close()
		for range 3 {
			r := <-results
			if r.err == nil {
				t.Errorf("%s returned without error after Close", r.who)
			}
		}
	})
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	client, server := memnet.Pair(128)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				if _, err := client.Write([]byte("0123456789")); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			b := make([]byte, 16)
			for {
				if _, err := server.Read(b); err != nil {
					return
				}
			}
		})
		wg.Go(func() {
			for range 1000 {
				client.SetWriteDeadline(time.Now().Add(time.Minute))
				server.SetReadDeadline(time.Now().Add(time.Minute))
			}
			client.Close()
			server.Close()
		})
	}
	wg.Wait()
}

func TestListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := memnet.Listen("broker", memnet.Config{Backlog: 1})
		if got := l.Addr().Network() + "/" + l.Addr().String(); got != "memory/broker" {
			t.Errorf("Addr = %s, want memory/broker", got)
		}
		client, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Dial(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Dial over a full backlog = %v, want to wait until the context ends", err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go server.Write([]byte("hi"))
		b := make([]byte, 2)
		if _, err := io.ReadFull(client, b); string(b) != "hi" || err != nil {
			t.Errorf("read %q, %v", b, err)
		}

		waiting, err := l.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		if _, err := waiting.Read(b); err != io.EOF {
			t.Errorf("Read on a connection nobody accepted = %v, want EOF", err)
		}
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept after Close = %v, want net.ErrClosed", err)
		}
		if _, err := l.Dial(t.Context()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Dial after Close = %v, want net.ErrClosed", err)
		}
	})
}

func ExampleListener() {
	l := memnet.Listen("echo", memnet.Config{})
	defer l.Close()
	go func() {
		c, _ := l.Accept()
		defer c.Close()
		io.Copy(c, io.LimitReader(c, 5))
	}()
	c, _ := l.Dial(context.Background())
	defer c.Close()
	io.WriteString(c, "hello")
	answer, _ := io.ReadAll(c)
	fmt.Println(string(answer))
	// Output: hello
}

func BenchmarkRoundTrip(b *testing.B) {
	for _, size := range []int{100, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			client, server := memnet.Pair(0)
			go io.Copy(server, server)
			defer client.Close()
			buf := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				client.SetDeadline(time.Now().Add(time.Minute))
				client.Write(buf)
				if _, err := io.ReadFull(client, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
