package broker_test

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/broker/record"
)

// inBubble runs a test against a broker whose clock only moves when all wait.
func inBubble(t *testing.T, change func(*broker.Config), test func(t *testing.T, r *raw)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := dial(t, brokertest.Start(t, brokertest.With(change)), "memory")
		_ = r.nc.SetDeadline(time.Time{})
		test(t, r)
	})
}

// closedAfter returns how long it takes until the broker closes the connection.
func closedAfter(t *testing.T, r *raw) time.Duration {
	t.Helper()
	began := time.Now()
	if _, err := io.Copy(io.Discard, r.nc); err != nil {
		t.Fatalf("read until the end: %v", err)
	}
	return time.Since(began)
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*broker.Config) {}, func(t *testing.T, r *raw) {
		time.Sleep(9 * time.Minute)
		do[*kmsg.MetadataResponse](r, at(1, kmsg.NewPtrMetadataRequest()))
		if got := closedAfter(t, r); got != 10*time.Minute {
			t.Errorf("closed after %v, want 10m", got)
		}
	})
}

// Whoever waits for an answer is not idle.
func TestWaitingIsNotIdle(t *testing.T) {
	t.Parallel()
	inBubble(t, func(c *broker.Config) { c.IdleTimeout = time.Second }, func(t *testing.T, r *raw) {
		r.create("orders", 1)
		req := fetchRequest("orders", 0)
		req.MaxWaitMillis = 5500
		began := time.Now()
		if resp := do[*kmsg.FetchResponse](r, req); resp.Topics[0].Partitions[0].ErrorCode != 0 || time.Since(began) != 5500*time.Millisecond {
			t.Errorf("answer %+v after %v, want an empty one after 5.5s", resp, time.Since(began))
		}
	})
}

func TestUnfinishedFramesAreClosed(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*broker.Config) {}, func(t *testing.T, r *raw) {
		whole := frame(3, 1, 1, []byte{0xff, 0xff, 0, 0, 0, 0})
		began := time.Now()
		go func() { // one byte every five seconds
			for _, b := range whole {
				if _, err := r.nc.Write([]byte{b}); err != nil {
					return
				}
				time.Sleep(5 * time.Second)
			}
		}()
		if closedAfter(t, r); time.Since(began) != 30*time.Second {
			t.Errorf("closed after %v, want 30s", time.Since(began))
		}
		time.Sleep(5 * time.Second) // the writer notices
	})
}

// A client that does not read its answers does not hold the broker.
func TestUnreadAnswersAreDropped(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*broker.Config) {}, func(t *testing.T, r *raw) {
		r.create("orders", 1)
		r.produce("orders", batch(1, strings.Repeat("x", 900<<10)))
		slow := r.again()
		_ = slow.nc.SetDeadline(time.Time{})
		slow.send(fetchRequest("orders", 0), fetchRequest("orders", 0))
		time.Sleep(31 * time.Second)
		n, err := io.Copy(io.Discard, slow.nc)
		if err != nil || n > 512<<10 {
			t.Errorf("after 31s: %d bytes, %v, want what was in the buffers and the end", n, err)
		}
	})
}

// The answer to a fetch that waits comes at its time, and at once when the broker
// stops.
func TestFetchWaitsExactly(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*broker.Config) {}, func(t *testing.T, r *raw) {
		r.create("orders", 1)
		req := fetchRequest("orders", 0)
		req.MaxWaitMillis = 700
		began := time.Now()
		do[*kmsg.FetchResponse](r, req)
		if got := time.Since(began); got != 700*time.Millisecond {
			t.Errorf("waited %v, want 700ms", got)
		}
		r.produce("orders", batch(1, "a"))
		req.MinBytes = 1 << 20 // never reached
		began = time.Now()
		resp := do[*kmsg.FetchResponse](r, req)
		if got := time.Since(began); got != 700*time.Millisecond || len(resp.Topics[0].Partitions[0].RecordBatches) == 0 {
			t.Errorf("below MinBytes: %d bytes after %v, want the batch after 700ms", len(resp.Topics[0].Partitions[0].RecordBatches), got)
		}
		req.MaxWaitMillis = 60_000
		r.send(req)
		synctest.Wait()
		began = time.Now()
		go brokertest.Stop(t, r.b)
		recv[*kmsg.FetchResponse](r, req)
		if got := time.Since(began); got != 0 {
			t.Errorf("the broker stopped, and the fetch was answered after %v", got)
		}
		if _, err := r.nc.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("after the broker stopped: %v, want EOF", err)
		}
		synctest.Wait()
	})
}

// Retention runs by itself.
func TestRetention(t *testing.T) {
	t.Parallel()
	inBubble(t, func(*broker.Config) {}, func(t *testing.T, r *raw) {
		r.create("orders", 1, "retention.bytes", "2097152", "segment.bytes", "1048576")
		r.create("kept", 1, "retention.bytes", "1", "segment.bytes", "1048576", "cleanup.policy", "compact")
		var w record.Builder
		for range 60 {
			w.Reset()
			w.Append(time.Now().UnixMilli(), []byte("k"), make([]byte, 100<<10))
			keyed := w.Finish()
			r.produce("orders", batch(time.Now().UnixMilli(), strings.Repeat("x", 100<<10)))
			r.produce("kept", keyed)
		}
		if start := r.fetch("orders", 59).LogStartOffset; start != 0 {
			t.Fatalf("log start %d before retention", start)
		}
		time.Sleep(6 * time.Minute)
		p := r.fetch("orders", 59)
		if p.ErrorCode != 0 || p.LogStartOffset < 30 || p.LogStartOffset > 45 {
			t.Errorf("after retention of 2 of 6 MiB: log start %d, error %d", p.LogStartOffset, p.ErrorCode)
		}
		if got := do[*kmsg.ListOffsetsResponse](r, listOffsetsRequest(4, -2)).Topics[0].Partitions[0].Offset; got != p.LogStartOffset {
			t.Errorf("earliest offset %d, log start %d", got, p.LogStartOffset)
		}
		if code := r.fetch("orders", p.LogStartOffset-1).ErrorCode; code != 1 {
			t.Errorf("fetch below the log start: error %d, want 1", code)
		}
		if got := offsets(t, r.fetch("orders", p.LogStartOffset).RecordBatches); !slices.Contains(got, p.LogStartOffset) {
			t.Errorf("fetch at the log start: %v", got)
		}
		if start := r.fetch("kept", 59).LogStartOffset; start != 0 {
			t.Errorf("a compacted topic lost its first %d records", start)
		}
	})
}

// A franz-go client lives in the bubble, too: a consumer that waits is woken by a
// record, and minutes without any cost nothing.
func TestClientOnAFakeClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := brokertest.Start(t)
		dial(t, b, "memory").create("orders", 1)
		producer := brokertest.Client(t, b, kgo.DefaultProduceTopic("orders"))
		consumer := brokertest.Client(t, b, kgo.ConsumeTopics("orders"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		began := time.Now()
		for i := range 5 {
			time.Sleep(3 * time.Minute)
			if err := producer.ProduceSync(t.Context(), &kgo.Record{Value: []byte{byte(i)}}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			fetches := consumer.PollFetches(t.Context())
			if err := fetches.Err(); err != nil || fetches.NumRecords() != 1 || fetches.Records()[0].Value[0] != byte(i) {
				t.Fatalf("record %d: %v, %d records", i, err, fetches.NumRecords())
			}
		}
		if got := time.Since(began); got < 15*time.Minute || got > 16*time.Minute {
			t.Errorf("five records took %v, want three minutes each", got)
		}
		producer.Close()
		consumer.Close()
	})
}
