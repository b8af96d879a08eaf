package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// TestDedupKill kills the duplicate detector at random moments until its input is through, and compares with a run that
// nobody disturbed: every payment has the same decision, card by card in the same order, and only one; and so
// has everything that passes.
//
// RIFFLE_E2E_CYCLES kills that many times (the default is 4); RIFFLE_E2E_DEDUP_INPUT is a file in place of a made one;
// RIFFLE_E2E_SEED repeats a run.
func TestDedupKill(t *testing.T) {
	kills := envInt(t, "RIFFLE_E2E_CYCLES", 4)
	seed := uint64(envInt(t, "RIFFLE_E2E_SEED", int(time.Now().UnixNano())))
	t.Logf("RIFFLE_E2E_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))

	input := os.Getenv("RIFFLE_E2E_DEDUP_INPUT")
	if input == "" {
		input = filepath.Join(t.TempDir(), "payments.csv")
		writeDuplicates(t, input, rand.New(rand.NewPCG(1, 2)), 40_000)
	}
	args := func(dir string) []string { return []string{"payments", "--input", input, "--dir", dir} }

	calmDir := t.TempDir()
	start := time.Now()
	run(t, program(t, "dedup"), args(calmDir)...)
	undisturbed := time.Since(start)
	calm := readOutputs(t, calmDir)
	for _, topic := range dedupOutputs {
		if len(calm[topic]) == 0 {
			t.Fatalf("the undisturbed run wrote nothing to %s: the comparison would show nothing", topic)
		}
	}
	for killed := 0; killed < kills; {
		dir := t.TempDir()
		for killed < kills && startAndKill(t, time.Duration(rng.Int64N(int64(undisturbed)/3)), "dedup", args(dir)...) {
			killed++
		}
		run(t, program(t, "dedup"), args(dir)...)
		if diff := cmp.Diff(calm, readOutputs(t, dir)); diff != "" {
			t.Fatalf("outputs by topic and card (-undisturbed +killed):\n%s", tail(diff))
		}
		t.Logf("%d kills", killed)
	}
}

var dedupOutputs = []string{"payments-passed", "payments-routed", "payments-decisions"}

// readOutputs returns the values of the detector's topics, by topic and card, in their order.
func readOutputs(t *testing.T, dir string) map[string]map[string][]string {
	t.Helper()
	ctx := context.Background()
	cluster := stream.Embedded(dir)
	if err := cluster.Open(ctx); err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	outputs := make(map[string]map[string][]string)
	for _, topic := range dedupOutputs {
		outputs[topic] = make(map[string][]string)
		for r, err := range cluster.Read(ctx, stream.NewTopic(topic, serde.String, serde.String)) {
			if err != nil {
				t.Fatal(err)
			}
			outputs[topic][r.Key] = append(outputs[topic][r.Key], r.Value)
		}
	}
	return outputs
}

// writeDuplicates makes a file of payments with repetitions of every kind.
func writeDuplicates(t *testing.T, file string, rng *rand.Rand, rows int) {
	t.Helper()
	var b bytes.Buffer
	b.WriteString("arrival_ms,event_id,event_ms,card,terminal,amount_cents\n")
	type row struct{ id, at, card, terminal, cents int }
	made := []row{{at: 1_500_000_000_000}}
	for id := 1; id <= rows; id++ {
		last := made[len(made)-1]
		r := row{id, last.at + rng.IntN(2000), rng.IntN(500), rng.IntN(100), 100 + rng.IntN(9_900)}
		arrival := r.at
		switch earlier := made[max(0, len(made)-1-rng.IntN(3000))]; rng.IntN(20) {
		case 0: // sent again
			r = earlier
		case 1: // with other content
			r = earlier
			r.cents++
		case 2: // made again
			r.card, r.terminal, r.cents = last.card, last.terminal, last.cents
		case 3: // taken back
			r.card, r.terminal, r.cents = last.card, last.terminal, -last.cents
		}
		fmt.Fprintf(&b, "%d,%d,%d,%d,%d,%d\n", arrival, r.id, r.at, r.card, r.terminal, r.cents)
		if r.at >= last.at {
			made = append(made, r)
		}
	}
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
