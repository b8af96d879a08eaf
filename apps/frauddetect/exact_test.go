package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
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
	// exactRetry is the latest that a retry comes: the desk remembers the id of a payment for a day.
	exactRetry = 20 * time.Hour
)

// exactRun is one way in which the same payments can come, and be processed.
type exactRun struct {
	partitions, workers int
	shuffle             bool // arrivals within the allowed lateness, 5 % of them again, half of these far behind it
	kills               int  // of the process, without warning, each in the middle of its work
}

// maxStarts is far more than it takes to commit a decision. The model that learns does so in the order of its partition: its scores are equal only if there are
// as many.
const (
	maxStarts   = 50
	maxRuns     = 5 // until a kill comes before the desk has ended
	exactOnline = "online"
	onlineFile  = `{"online":{}}`
)

// Scores depend on nothing but the payments: neither on the order of their arrival within the allowed lateness, nor on retries, the
// number of partitions and workers, or kills. They are equal to the bit, and each retry is found to be one.
func TestScoresAreExact(t *testing.T) {
	t.Parallel()
	payments := madeUp(t)
	want := exactScores(t, payments, exactRun{partitions: 1, workers: 1})
	if len(want) != len(payments) {
		t.Fatalf("%d payments are decided, want %d", len(want), len(payments))
	}
	for _, run := range []exactRun{
		{partitions: 1, workers: 2, shuffle: true, kills: 2},
		{partitions: 4, workers: 1, shuffle: true},
		{partitions: 4, workers: 2, shuffle: true, kills: 3},
		{partitions: 3, workers: 4, shuffle: true},
	} {
		t.Run(fmt.Sprintf("%+v", run), func(t *testing.T) {
			t.Parallel()
			got, want := exactScores(t, payments, run), maps.Clone(want)
			came := make(map[int64]int)
			for _, tx := range arrivals(payments, run.shuffle) {
				came[tx.ID]++
			}
			for id, s := range want {
				s.Retries = came[id] - 1
				want[id] = s
			}
			if run.partitions > 1 {
				forgetOnline(want)
				forgetOnline(got)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("scores (-in order +otherwise):\n%.2000s", diff)
			}
		})
	}
}

func forgetOnline(scores map[int64]exactScore) {
	for id, s := range scores {
		s.Online = ""
		scores[id] = s
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

// exactScore is what models said of a payment, in all their digits, and how often it was found to have come again.
type exactScore struct {
	Models, Online string
	Retries        int
}

// exactScores decides the payments, and returns the scores by payment. A run whose kills all come too late is made again.
func exactScores(t *testing.T, payments []payment.Transaction, run exactRun) map[int64]exactScore {
	t.Helper()
	for range maxRuns {
		scores, hits := runExact(t, payments, run)
		if run.kills == 0 || hits > 0 {
			return scores
		}
		t.Log("each time the desk had ended before it was killed: once more")
	}
	t.Fatalf("in %d runs of %d kills each the desk had always ended before it was killed", maxRuns, run.kills)
	return nil
}

// runExact decides the payments in a directory of its own, and also returns how many of the kills came in the middle of the work.
func runExact(t *testing.T, payments []payment.Transaction, run exactRun) (scores map[int64]exactScore, hits int) {
	t.Helper()
	dir, decisions, online := t.TempDir(), filepath.Join(t.TempDir(), "decisions"), filepath.Join(t.TempDir(), "model_"+exactOnline+".json")
	if err := os.WriteFile(online, []byte(onlineFile), 0o666); err != nil {
		t.Fatal(err)
	}
	args := []string{
		"desk", "--dir", dir, "--partitions", strconv.Itoa(run.partitions), "--workers", strconv.Itoa(run.workers),
		"--drain", "--lateness", exactLateness.String(), "--decisions", decisions, "--model", "scoring/models/model_trees.json", "--model", online,
	}
	finish := func() {
		if out, err := apptest.Command(t, "frauddetect", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	finish() // rules and models are in force, before there is anything to decide
	labels, records := exactLabels(payments), exactRecords(payments, run)
	var now time.Time // of the latest payment that has come
	// come writes the next payments, and the labels that have come by then.
	come := func(n int) {
		for _, r := range records[:n] {
			if at := r.Value.Time; at.After(now) {
				now = at
			}
		}
		due, _ := slices.BinarySearchFunc(labels, now, func(l stream.Record[string, payment.Label], now time.Time) int { return l.Time.Compare(now) })
		writeExact(t, dir, desk.Labels, labels[:due])
		writeExact(t, dir, desk.Transactions, records[:n])
		labels, records = labels[due:], records[n:]
	}
	part, decided := len(records)/(run.kills+1), 0
	for i := range run.kills {
		come(part) // there is something to decide before each kill, and behind the last one
		before, killed := decided, true
		for starts := 0; decided == before && killed; starts++ {
			if starts == maxStarts {
				t.Fatalf("%d starts and commits, and none with a decision", starts)
			}
			killed = killAtCommit(t, args)
			decided = countDecided(t, dir)
		}
		if decided == before || decided >= len(payments) {
			t.Errorf("kill %d came when %d of %d payments were decided, before it %d", i+1, decided, len(payments), before)
		}
		if killed {
			hits++
		}
		t.Logf("kill %d of %+v: %d of %d payments were decided; killed: %v", i+1, run, decided, len(payments), killed)
	}
	come(len(records))
	finish()
	return readExact(t, decisions), hits
}

// killAtCommit starts the desk, and kills it when it has decided something, and has made a commit. It reports whether the desk had not
// ended before.
func killAtCommit(t *testing.T, args []string) bool {
	t.Helper()
	addr := apptest.FreeAddr(t)
	cmd := apptest.Command(t, "frauddetect", append(args, "--metrics-addr", addr)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ticks := time.NewTicker(2 * time.Millisecond)
	defer ticks.Stop()
	for decided, commits := 0, 0; decided == 0 || commits == 0; decided, commits = progressOf(addr) {
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			return false
		case <-ticks.C:
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		return false // it has ended just now
	}
	return <-ended != nil
}

var (
	decidedLine = regexp.MustCompile(`(?m)^riffle_stream_records_processed_total\{app="fraud-desk",subtopology="4"\} (\d+)$`)
	commitsLine = regexp.MustCompile(`(?m)^riffle_stream_commit_duration_seconds_count\{app="fraud-desk"\} (\d+)$`)
)

// progressOf is how many inputs a process has decided (sub-topology 4 of a chain in order), and how many commits it has made; 0 as long as it does not answer.
func progressOf(addr string) (decided, commits int) {
	response, err := http.Get("http://" + addr + "/metrics")
	if err != nil {
		return 0, 0
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, 0
	}
	number := func(line *regexp.Regexp) (n int) {
		if found := line.FindSubmatch(text); found != nil {
			n, _ = strconv.Atoi(string(found[1])) // digits, by the expression
		}
		return n
	}
	return number(decidedLine), number(commitsLine)
}

// withCluster opens the broker of a desk that does not run.
func withCluster(t *testing.T, dir string, use func(*stream.Cluster)) {
	t.Helper()
	cluster := stream.Embedded(dir)
	if err := cluster.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	use(cluster)
	if err := cluster.Close(); err != nil {
		t.Error(err)
	}
}

// countDecided counts the payments whose decisions are committed.
func countDecided(t *testing.T, dir string) (n int) {
	t.Helper()
	withCluster(t, dir, func(cluster *stream.Cluster) {
		for r, err := range cluster.Read(t.Context(), desk.Decisions) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Value.Action != "" {
				n++
			}
		}
	})
	return n
}

// exactLabels are the labels of the frauds.
func exactLabels(payments []payment.Transaction) (labels []stream.Record[string, payment.Label]) {
	for _, tx := range payments {
		if tx.Fraud() {
			l := payment.Label{Transaction: tx, Known: tx.Time.Add(features.LabelDelay)}
			labels = append(labels, stream.Record[string, payment.Label]{Key: tx.Card, Value: l, Time: l.Known})
		}
	}
	return labels
}

// exactRecords are the payments as they come, and ticks that let the last of them go on.
func exactRecords(payments []payment.Transaction, run exactRun) (records []stream.Record[string, payment.Transaction]) {
	all := slices.Concat(arrivals(payments, run.shuffle), ticks(payments[len(payments)-1].Time, exactLateness, run.partitions))
	for _, tx := range all {
		records = append(records, stream.Record[string, payment.Transaction]{Key: tx.Card, Value: tx})
	}
	return records
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
	within := func(d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }
	var all []arrival
	for i, tx := range payments {
		all = append(all, arrival{tx, tx.Time.Add(within(exactLateness))})
		if i%20 != 0 {
			continue
		}
		again := within(exactLateness)
		if i%40 == 0 { // by then its first time does not wait any more: only the detector knows of it
			again = 2*exactLateness + within(exactRetry-2*exactLateness)
		}
		all = append(all, arrival{tx, tx.Time.Add(again)})
	}
	slices.SortStableFunc(all, func(a, b arrival) int { return a.at.Compare(b.at) })
	var sorted []payment.Transaction
	for _, a := range all {
		sorted = append(sorted, a.Transaction)
	}
	return sorted
}

// writeExact writes to a topic of a desk that does not run.
func writeExact[V any](t *testing.T, dir string, topic stream.Topic[string, V], records []stream.Record[string, V]) {
	t.Helper()
	withCluster(t, dir, func(cluster *stream.Cluster) {
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
	})
}

func readExact(t *testing.T, path string) map[int64]exactScore {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	scores, retries := make(map[int64]exactScore), make(map[int64]int)
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		d, err := desk.Decisions.Value.Decode(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if d.Action == "" {
			retries[d.Payment]++
			continue
		}
		var score exactScore
		for _, s := range d.Scores {
			text := fmt.Sprintf("%s %x ", s.Model, s.Score)
			if s.Model == exactOnline {
				score.Online += text
			} else {
				score.Models += text
			}
		}
		if _, twice := scores[d.Payment]; twice || score.Models == "" || score.Online == "" {
			t.Errorf("payment %d is decided twice, or lacks scores: %+v", d.Payment, score)
		}
		scores[d.Payment] = score
	}
	for id, n := range retries {
		score := scores[id]
		score.Retries = n
		scores[id] = score
	}
	return scores
}
