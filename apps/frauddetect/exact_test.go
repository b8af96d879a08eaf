package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/internal/apptest"
	"github.com/riffle-stream/riffle/stream"
)

const (
	exactDays     = 40
	exactLateness = time.Hour
)

// exactRun is one way in which the same payments can come, and be processed.
type exactRun struct {
	partitions, workers int
	shuffle             bool // arrivals within the allowed lateness, 5 % of them again
	kills               int  // of the process, without warning
}

// Scores depend on nothing but the payments: neither on the order of their arrival within the allowed lateness, nor on retries, the
// number of partitions and workers, or kills. They are equal to the bit.
func TestScoresAreExact(t *testing.T) {
	t.Parallel()
	payments := madeUp(t)
	want := exactScores(t, payments, exactRun{partitions: 1, workers: 1})
	if len(want) != len(payments) {
		t.Fatalf("%d payments are decided, want %d", len(want), len(payments))
	}
	for _, run := range []exactRun{
		{partitions: 4, workers: 1, shuffle: true},
		{partitions: 4, workers: 2, shuffle: true, kills: 3},
		{partitions: 3, workers: 4, shuffle: true},
	} {
		t.Run(fmt.Sprintf("%+v", run), func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(want, exactScores(t, payments, run)); diff != "" {
				t.Errorf("scores (-in order +otherwise):\n%.2000s", diff)
			}
		})
	}
}

func madeUp(t *testing.T) (payments []payment.Transaction) {
	t.Helper()
	g, err := generator.New(generator.Config{Seed: 5, Customers: 40, Terminals: 30, Radius: 60})
	if err != nil {
		t.Fatal(err)
	}
	for end := g.Config().Start.AddDate(0, 0, exactDays); ; {
		tx := g.Next()
		if !tx.Time.Before(end) {
			return payments
		}
		payments = append(payments, tx)
	}
}

// exactScores decides the payments in a directory of its own, and returns the scores of all models by payment, in all their digits.
func exactScores(t *testing.T, payments []payment.Transaction, run exactRun) map[int64]string {
	t.Helper()
	dir, decisions := t.TempDir(), filepath.Join(t.TempDir(), "decisions")
	args := []string{
		"desk", "--dir", dir, "--drain", "--partitions", strconv.Itoa(run.partitions), "--workers", strconv.Itoa(run.workers),
		"--lateness", exactLateness.String(), "--decisions", decisions,
	}
	finish := func() {
		if out, err := apptest.Command(t, "frauddetect", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	finish() // rules and models are in force, before there is anything to decide
	writeExact(t, dir, payments, run)
	for i := range run.kills {
		// Whatever it has come to by then.
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(400*(i+1))*time.Millisecond)
		cmd := apptest.Command(t, "frauddetect", args...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // killed, or done
		kill()
		cancel()
	}
	finish()
	return readExact(t, decisions)
}

// writeExact writes payments and labels into the topics of a desk.
func writeExact(t *testing.T, dir string, payments []payment.Transaction, run exactRun) {
	t.Helper()
	cluster := stream.Embedded(dir)
	if err := cluster.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	}()
	var labels []stream.Record[string, payment.Label]
	for _, tx := range payments {
		if tx.Fraud() {
			l := payment.Label{Transaction: tx, Known: tx.Time.Add(features.LabelDelay)}
			labels = append(labels, stream.Record[string, payment.Label]{Key: tx.Card, Value: l, Time: l.Known})
		}
	}
	writeAll(t, cluster, desk.Labels, labels)
	var records []stream.Record[string, payment.Transaction]
	for _, tx := range arrivals(payments, run.shuffle) {
		records = append(records, stream.Record[string, payment.Transaction]{Key: tx.Card, Value: tx})
	}
	for _, tick := range ticks(payments[len(payments)-1].Time, exactLateness, run.partitions) {
		records = append(records, stream.Record[string, payment.Transaction]{Key: tick.Card, Value: tick})
	}
	writeAll(t, cluster, desk.Transactions, records)
}

// arrivals puts payments in the order in which they come.
func arrivals(payments []payment.Transaction, shuffle bool) []payment.Transaction {
	if !shuffle {
		return payments
	}
	type arrival struct {
		payment.Transaction
		at time.Time
	}
	r := rand.New(rand.NewPCG(1, 2))
	delay := func() time.Duration { return time.Duration(r.Int64N(int64(exactLateness))) }
	var all []arrival
	for _, tx := range payments {
		at := tx.Time.Add(delay())
		all = append(all, arrival{tx, at})
		if r.IntN(20) == 0 {
			all = append(all, arrival{tx, tx.Time.Add(delay())})
		}
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return a.at.Compare(b.at) })
	var sorted []payment.Transaction
	for _, a := range all {
		sorted = append(sorted, a.Transaction)
	}
	return sorted
}

func writeAll[V any](t *testing.T, cluster *stream.Cluster, topic stream.Topic[string, V], records []stream.Record[string, V]) {
	t.Helper()
	w, err := stream.NewWriter(t.Context(), cluster, topic, stream.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if err := w.Write(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func readExact(t *testing.T, path string) map[int64]string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	scores := make(map[int64]string)
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d, err := desk.Decisions.Value.Decode(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if d.Action == "" {
			continue // a retry
		}
		text := ""
		for _, s := range d.Scores {
			text += fmt.Sprintf("%s %x ", s.Model, s.Score)
		}
		if _, twice := scores[d.Payment]; twice || text == "" {
			t.Errorf("payment %d is decided twice, or has no scores: %q", d.Payment, text)
		}
		scores[d.Payment] = text
	}
	return scores
}
