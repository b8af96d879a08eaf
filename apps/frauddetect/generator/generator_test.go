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

// Planted cases are as their kinds say, in order of time, and change no other payment.
func TestCases(t *testing.T) {
	t.Parallel()
	cfg := Config{Seed: 3, Customers: 500, Terminals: 300, Cases: 2}
	const days = 4
	rows := func(cfg Config) (base []payment.Transaction, planted map[Kind][]payment.Transaction) {
		g, err := New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		planted = make(map[Kind][]payment.Transaction)
		for last := (time.Time{}); ; {
			p := g.Next()
			if p.Time.After(g.Config().Start.AddDate(0, 0, days)) {
				return base, planted
			}
			if p.Time.Before(last) {
				t.Fatalf("payment %d goes back in time", p.ID)
			}
			last = p.Time
			if p.Scenario < firstKind {
				p.ID = 0 // it counts the planted ones too
				base = append(base, p)
				continue
			}
			planted[Kind(p.Scenario)] = append(planted[Kind(p.Scenario)], p)
		}
	}
	base, planted := rows(cfg)
	cfg.Cases = 0
	without, none := rows(cfg)
	if diff := cmp.Diff(without, base); diff != "" || len(none) > 0 {
		t.Errorf("planted cases change other payments (-without +with)\n%.1000s", diff)
	}
	sizes := map[Kind]int{SmallThenLarge: 2, CardBurst: 6, CardTesting: 5, HourlySum: 7, MerchantBurst: 20, DoubleCharge: 2, Structuring: 4, NightHigh: 1, BlockedListCard: 1}
	for kind, name := range Kinds() {
		if got, want := len(planted[kind]), days*2*sizes[kind]; got != want {
			t.Errorf("%s: %d payments, want %d", name, got, want)
		}
	}
	for _, p := range planted[NightHigh] {
		if p.Time.Hour() > 5 || p.Amount < 180_00 {
			t.Errorf("night-high: %s at %v", p.Amount, p.Time)
		}
	}
	for _, p := range planted[BlockedListCard] {
		if p.Card != BlockedCard {
			t.Errorf("blocked-card: card %s", p.Card)
		}
	}
}

// Won are whole hundreds and proportional to the published amounts; terminals have different names.
func TestKorea(t *testing.T) {
	t.Parallel()
	cfg := Config{Seed: 3, Customers: 500, Terminals: 1500}
	europe := generate(t, cfg, 1000)
	cfg.Profile = Korea
	for i, p := range generate(t, cfg, 1000) {
		if want := int64(europe[i].Amount) * Korea.Unit(); p.Amount%100_00 != 0 || int64(p.Amount)-want > 50_00 || want-int64(p.Amount) > 50_00 {
			t.Fatalf("payment %d is %s won for %s euro", i, p.Amount, europe[i].Amount)
		}
	}
	names := make(map[string]bool)
	for _, name := range Korea.terminals(20_000) {
		if names[name] {
			t.Fatalf("two terminals are called %s", name)
		}
		names[name] = true
	}
}

// Arrivals come in order of arrival, are the same each time, and each class is what its name says.
func TestArrivals(t *testing.T) {
	t.Parallel()
	const n = 60_000
	arrivals := func() []Arrival {
		g, err := New(Config{Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		a, list := NewArrivals(g), make([]Arrival, n)
		for i := range list {
			list[i] = a.Next()
		}
		return list
	}
	list := arrivals()
	if diff := cmp.Diff(list, arrivals()); diff != "" {
		t.Errorf("two runs of one seed differ (-first +second)\n%.1000s", diff)
	}
	originals := make(map[int64]Arrival)
	classes := make(map[Class]int)
	outOfOrder := 0
	for i, a := range list {
		classes[a.Class]++
		if i > 0 && a.Arrived.Before(list[i-1].Arrived) {
			t.Fatalf("arrival %d goes back in time", i)
		}
		if i > 0 && a.Time.Before(list[i-1].Time) {
			outOfOrder++
		}
		if !a.Arrived.After(a.Time) {
			t.Errorf("%s %d arrives at %v, and was made at %v", a.Class, a.ID, a.Arrived, a.Time)
		}
		first, known := originals[a.Original]
		if a.Class == Base {
			if known {
				t.Errorf("payment %d comes for the first time twice", a.ID)
			}
			originals[a.ID] = a
			continue
		}
		if !known {
			t.Errorf("%s %d comes before its original", a.Class, a.ID)
			continue
		}
		same := a.ID == first.ID
		equal := a.Transaction == first.Transaction
		ok := map[Class]bool{
			Retry: equal, Replay: equal, Conflicting: same && a.Amount > first.Amount,
			Double: !same && a.Amount == first.Amount, Legit: !same && a.Amount == first.Amount, Recharge: !same && a.Amount == first.Amount,
			Near: !same && a.Amount <= first.Amount && (first.Amount-a.Amount)*100 <= first.Amount, Reversal: !same && a.Amount == -first.Amount,
		}
		if !ok[a.Class] || a.Card != first.Card || a.Terminal != first.Terminal {
			t.Errorf("%s %+v does not fit its original %+v", a.Class, a, first)
		}
	}
	if outOfOrder == 0 {
		t.Error("all payments arrive in order of their times")
	}
	for class, share := range map[Class]float64{
		Retry: retryShare, Double: doubleShare, Near: nearShare, Legit: legitShare, Reversal: reversalShare, Recharge: reversalShare * rechargeShare,
	} {
		if got := float64(classes[class]) / float64(classes[Base]); got < share*0.6 || got > share*1.4 {
			t.Errorf("%s: a share of %.5f, want about %.5f", class, got, share)
		}
	}
	if got, days := classes[Replay], list[n-1].Arrived.Sub(list[0].Arrived).Hours()/24; got < int(days-1)*replayBlock || got > int(days+1)*replayBlock {
		t.Errorf("%d payments are replayed in %.1f days, want %d a day", got, days, replayBlock)
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
