package generator

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

func generate(t testing.TB, cfg Config, n int) []payment.Transaction {
	t.Helper()
	g, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	payments := make([]payment.Transaction, n)
	for i := range payments {
		payments[i] = g.Next()
	}
	return payments
}

// The published data set has 1,754,155 rows in 183 days and 0.8369 % frauds: 973, 9,077 and 4,631 of scenarios 1 to 3. Independent
// generators with other random numbers stay within a few percent of that.
func TestStatistics(t *testing.T) {
	t.Parallel()
	const days = 60
	g, err := New(Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	var rows, night int
	var sum payment.Cents
	var scenarios [4]int
	lateScenarios := scenarios // once 28 days of terminals are compromised
	last := time.Time{}
	for {
		p := g.Next()
		day := int(p.Time.Sub(time.Date(2018, 4, 1, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour))
		if day >= days {
			break
		}
		if p.Time.Before(last) {
			t.Fatalf("payment %d goes back in time: %v after %v", p.ID, p.Time, last)
		}
		if p.ID != int64(rows) {
			t.Fatalf("payment %d is number %d", p.ID, rows)
		}
		last = p.Time
		rows++
		sum += p.Amount
		scenarios[p.Scenario]++
		if day >= 28 {
			lateScenarios[p.Scenario]++
		}
		if p.Time.Hour() <= 6 {
			night++
		}
		if p.Scenario == 0 && p.Amount > 22000 {
			t.Fatalf("a genuine payment of %s: scenario 1 has all above 220", p.Amount)
		}
	}
	within := func(what string, got, want, tolerance float64) {
		t.Helper()
		if got < want*(1-tolerance) || got > want*(1+tolerance) {
			t.Errorf("%s = %.4g, want %.4g ± %.0f %%", what, got, want, tolerance*100)
		}
	}
	within("rows a day", float64(rows)/days, 1754155.0/183, 0.03)
	within("mean amount", float64(sum)/float64(rows)/100, 53.6, 0.03)
	within("share of payments from 0 to 7 o'clock", float64(night)/float64(rows), 0.174, 0.03)
	within("scenario 1 a day", float64(scenarios[1])/days, 973.0/183, 0.3)
	within("scenario 2 a day, from day 28", float64(lateScenarios[2])/(days-28), 2*28*0.96, 0.15)
	within("scenario 3 a day", float64(scenarios[3])/days, 4631.0/183, 0.2)
}

// A run can go on where another one stopped, because the n-th payment depends on the configuration alone.
func TestSameSeedSamePayments(t *testing.T) {
	t.Parallel()
	small := Config{Seed: 7, Customers: 300, Terminals: 500}
	a, b := generate(t, small, 5_000), generate(t, small, 5_000)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("two runs of one seed differ (-first +second)\n%s", diff)
	}
	other := small
	other.Seed++
	if cmp.Equal(a, generate(t, other, 5_000)) {
		t.Error("two seeds give the same payments")
	}
	moved := small
	moved.Start = time.Date(2030, 1, 1, 13, 0, 0, 0, time.UTC)
	if got, want := generate(t, moved, 1)[0].Time, a[0].Time.AddDate(11, 9, 0); !got.Equal(want) {
		t.Errorf("with another first day the first payment is at %v, want %v", got, want)
	}
}

func TestConfigErrors(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"-1 customers":             {Customers: -1},
		"-2 terminals":             {Terminals: -2},
		"radius -1":                {Radius: -1},
		"want at most 50000000":    {Customers: 10_000_000, Terminals: 10_000},
		"no terminal is within":    {Customers: 1, Terminals: 1, Radius: 0.001},
		"want at least 1\ngenerat": {Customers: -1, Terminals: -1},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New(%+v) error = %v, want %q", cfg, err, want)
		}
	}
}

func BenchmarkNext(b *testing.B) {
	g, err := New(Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		g.Next()
	}
}
