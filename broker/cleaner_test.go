package broker_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/broker"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// TestDamageIsReported damages a sealed segment of a compacted topic: the scrubber
// finds it before anybody reads, and the cleaner leaves the log alone, without trying
// again all the time.
func TestDamageIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk, registry := vfs.NewMem(), prometheus.NewRegistry()
		b, err := broker.Start(broker.Config{FS: disk, Registerer: registry}) // brokertest would verify the log
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := b.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		r := dial(t, b, "memory")
		r.compacted("cards", "min.compaction.lag.ms", "3600000")
		for i := range 4 {
			_ = r.nc.SetDeadline(time.Now().Add(time.Hour))
			r.mustProduce("cards", keyedBatch("k", fmt.Sprint(i)))
			time.Sleep(2 * time.Second)
		}
		damageFirstSegment(t, disk)
		time.Sleep(7 * time.Hour) // the scrubber has read everything once more
		got := gather(t, registry)
		for name, least := range map[string]float64{
			"broker_log_scrubs_total": 1, "broker_log_scrubbed_bytes_total": 1, "broker_log_scrub_damaged_places": 1,
			"broker_log_compaction_errors_total": 1,
		} {
			if got[name] < least {
				t.Errorf("%s is %v, want at least %v", name, got[name], least)
			}
		}
		if n := got["broker_log_compaction_errors_total"]; n > 50 {
			t.Errorf("the damaged log was tried %v times in seven hours", n)
		}
		if n := got["broker_log_compactions_total"]; n != 0 {
			t.Errorf("a damaged log was compacted %v times", n)
		}
	})
}

func damageFirstSegment(t *testing.T, fsys vfs.FS) {
	t.Helper()
	topics, err := fsys.List("topics")
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		dir := "topics/" + topic + "/0"
		names, err := fsys.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		segments := 0
		for _, name := range names {
			if strings.HasSuffix(name, ".log") {
				segments++
			}
		}
		if segments < 4 {
			continue // not the one with the records
		}
		f, err := fsys.Open(dir + "/" + strings.Repeat("0", 20) + ".log")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{0xff, 0xff}, 65); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatal("no topic has four segments")
}

// gather returns the counters and gauges without labels.
func gather(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if m := f.GetMetric()[0]; len(m.GetLabel()) == 0 {
			got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return got
}
