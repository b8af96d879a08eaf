package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/apptest"
)

// BenchmarkDecision submits payments over HTTP at a fixed rate, each when it is due whether or not earlier ones have been answered, and
// reports how long after that the decision was there. The server is another process; client and server share the machine. There are
// 100,000 cards and 50,000 terminals: with few of them nearly every payment would raise alerts.
//
//	go test -run '^$' -bench Decision -benchtime 20000x ./apps/frauddetect
//
// RIFFLE_BENCH_RATE is the rate; the default is 2,000 payments a second.
func BenchmarkDecision(b *testing.B) {
	rate := 2000
	if text := os.Getenv("RIFFLE_BENCH_RATE"); text != "" {
		var err error
		if rate, err = strconv.Atoi(text); err != nil || rate < 1 {
			b.Fatalf("RIFFLE_BENCH_RATE=%s: want a number above 0", text)
		}
	}
	for _, partitions := range []int{benchPartitions, deskPartitions} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) { benchDecision(b, partitions, rate) })
	}
}

func benchDecision(b *testing.B, partitions, rate int) {
	server := apptest.Start(b, "frauddetect", b.TempDir(), "serve", "--partitions", strconv.Itoa(partitions), "--wait", "30s", "--max-requests", "20000")
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 512}}
	pay := func(id int) error {
		body := fmt.Appendf(nil, `{"id":%d,"card":"%d","terminal":"%d","amount":%d.50}`, id, id%100_000, id%50_000, 5+id%60)
		request, err := http.NewRequest(http.MethodPost, server.URL+"/v1/payments", bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Authorization", "Bearer "+server.Token)
		response, err := client.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err == nil && response.StatusCode != http.StatusOK {
			err = fmt.Errorf("status %d: %s", response.StatusCode, answer)
		}
		return err
	}
	const warm = 500
	for id := range warm {
		if err := pay(id); err != nil {
			b.Fatal(err)
		}
		if b.N == 1 {
			break // the first, short round
		}
	}
	took := make([]time.Duration, b.N)
	var paying sync.WaitGroup
	b.ResetTimer()
	start := time.Now()
	for i := range b.N {
		due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if early := time.Until(due); early > 0 {
			<-time.After(early)
		}
		paying.Go(func() {
			if err := pay(warm + i); err != nil {
				b.Error(err)
			}
			took[i] = time.Since(due)
		})
	}
	paying.Wait()
	b.StopTimer()
	elapsed := time.Since(start)
	slices.Sort(took)
	at := func(share float64) float64 { return took[int(share*float64(len(took)-1))].Seconds() * 1000 }
	b.ReportMetric(at(0.50), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(at(0.999), "p99.9-ms")
	b.ReportMetric(float64(b.N)/elapsed.Seconds(), "payments/s")
	server.Stop(b)
	b.ReportMetric(server.CPU().Seconds()*1e6/float64(warm+b.N), "server-µs-cpu/op")
}
