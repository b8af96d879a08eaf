package scoring

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// TestXGBoost compares with what XGBoost 3.2.0 predicts for random features, some of them missing. Model and predictions are
// XGBoost's own.
func TestXGBoost(t *testing.T) {
	t.Parallel()
	m, err := Load("testdata/xgboost.json")
	if err != nil {
		t.Fatal(err)
	}
	if m.Name() != "xgboost" {
		t.Errorf("Name() = %q, want xgboost", m.Name())
	}
	b, err := os.ReadFile("testdata/xgboost.csv")
	if err != nil {
		t.Fatal(err)
	}
	rows := 0
	for line := range strings.Lines(string(b)) {
		fields := strings.Split(strings.TrimSpace(line), ",")
		var v features.Vector
		for i := range v {
			v[i] = math.NaN()
			if i >= features.Published {
				continue // unknown to that model
			}
			if fields[i] != "" {
				v[i] = parse(t, fields[i])
			}
		}
		want := parse(t, fields[features.Published])
		if got := m.Score(&v); math.Abs(got-want) > 1e-7 {
			t.Errorf("line %d: score %v, want %v", rows+1, got, want)
		}
		rows++
	}
	if rows != 60 {
		t.Errorf("%d rows, want 60", rows)
	}
}

func parse(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// logistic regression of two features, named in an order of its own.
const twoFeatures = `{"features": ["TX_DURING_NIGHT", "TX_AMOUNT"], "weights": [2, 0.5], "bias": -3}`

func TestLogistic(t *testing.T) {
	t.Parallel()
	m, err := Parse("two", []byte(twoFeatures))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ amount, night, want float64 }{
		{2, 1, 0.5}, // -3 + 2 + 1 = 0
		{8, 1, 1 / (1 + math.Exp(-3))},
		{0, 0, 1 / (1 + math.Exp(3))},
	} {
		v := features.Vector{0: test.amount, 2: test.night}
		if got := m.Score(&v); got != test.want {
			t.Errorf("amount %v, night %v: score %v, want %v", test.amount, test.night, got, test.want)
		}
	}
}

// stump is a tree of one split: an amount below the threshold goes left.
func stump(base, left, right, split, threshold string) string {
	return fmt.Sprintf(`{"learner": {"feature_names": [], "learner_model_param": {"base_score": %q, "num_feature": "15"},
		"objective": {"name": "binary:logistic"}, "gradient_booster": {"name": "gbtree", "model": {"trees": [
		{"left_children": [%s, -1, -1], "right_children": [%s, -1, -1], "split_indices": [%s, 0, 0],
		"split_conditions": [%s, -1, 1], "default_left": [0, 0, 0]}]}}}}`, base, left, right, split, threshold)
}

// A feature is rounded to single precision before it is compared, and one that equals the threshold goes right.
func TestTreesComparison(t *testing.T) {
	t.Parallel()
	m, err := Parse("stump", []byte(stump("0.5", "1", "2", "0", "0.1")))
	if err != nil {
		t.Fatal(err)
	}
	low, high := 1/(1+math.Exp(1)), 1/(1+math.Exp(-1))
	for _, test := range []struct{ amount, want float64 }{
		{0.09, low}, {0.1, high}, {0.0999999999, high}, {0.11, high}, {math.NaN(), high},
	} {
		if got := m.Score(&features.Vector{0: test.amount}); math.Abs(got-test.want) > 1e-7 {
			t.Errorf("amount %v: score %v, want %v", test.amount, got, test.want)
		}
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	tests := []struct{ json, want string }{
		{`{`, "model m"},
		{`{}`, `none of "weights" (logistic regression), "learner" (XGBoost), "rules" and "online"`},
		{`{"features": ["TX_AMOUNT", "AGE"], "weights": [1, 2], "bias": 0}`, `unknown feature "AGE"`},
		{`{"features": ["TX_AMOUNT"], "weights": [1, 2], "bias": 0}`, "names 1 features and takes 2"},
		{`{"weights": [1, 2], "bias": 0}`, "takes 2 features without names"},
		{`{"learner": {"objective": {"name": "reg:squarederror"}, "gradient_booster": {"name": "gbtree"}}}`, "want gbtree with binary:logistic"},
		{strings.Replace(stump("0.5", "1", "2", "0", "1"), `"15"`, `"many"`, 1), "num_feature"},
		{strings.Replace(stump("0.5", "1", "2", "0", "1"), `"default_left": [0, 0, 0]`, `"default_left": []`, 1), "want equal ones"},
		{stump("1.5", "1", "2", "0", "1"), `base_score "1.5"`},
		{stump("0.5", "0", "2", "0", "1"), "node 0 has the child 0"},
		{stump("0.5", "1", "3", "0", "1"), "node 0 has the child 3"},
		{stump("0.5", "1", "1", "0", "1"), "child of two nodes"},
		{stump("0.5", "1", "2", "15", "1"), "splits feature 15 of 15"},
	}
	for _, test := range tests {
		if _, err := Parse("m", []byte(test.json)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a mention of %s", test.json, err, test.want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none.json")); err == nil || !strings.Contains(err.Error(), "none.json") {
		t.Errorf("no file: %v", err)
	}
}

// FuzzParse: a model from anywhere is refused or scores, without a panic or an endless walk.
func FuzzParse(f *testing.F) {
	f.Add([]byte(twoFeatures))
	f.Add([]byte(stump("0.5", "1", "2", "0", "1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse("m", b)
		if err == nil {
			m.Score(&features.Vector{0: 1, 1: math.NaN()})
		}
	})
}

func BenchmarkScore(b *testing.B) {
	m, err := Load("testdata/xgboost.json")
	if err != nil {
		b.Fatal(err)
	}
	v := features.Vector{0: 50, 10: 20}
	b.ReportAllocs()
	for b.Loop() {
		m.Score(&v)
	}
}

// The models that come with the program find what they were made for: a payment above every genuine one, and one at a terminal where all
// payments of the week before last were frauds.
func TestShipped(t *testing.T) {
	t.Parallel()
	models, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	if len(models) != 2 || models[0].Name() != "logistic" || models[1].Name() != "trees" {
		t.Fatalf("%v, want logistic and trees", models)
	}
	vector := func(cents payment.Cents, frauds int64) features.Vector {
		r := features.Row{Transaction: payment.Transaction{Amount: cents, Time: time.Date(2018, 4, 4, 12, 0, 0, 0, time.UTC)}}
		r.CardPayments, r.TerminalPayments = [3]int64{3, 20, 80}, [3]int64{1, 7, 30}
		r.CardCents = [3]int64{80_00 + int64(cents), 760_00 + int64(cents), 3160_00 + int64(cents)}
		r.Usual, r.CardLargest = features.Usual{Payments: 79, Cents: 3160_00, Largest: 80_00}, 80_00
		for i, n := range r.TerminalPayments {
			r.TerminalFrauds[i] = min(n, frauds)
		}
		if r.FraudsInRow = frauds; frauds > 0 {
			r.SinceGenuine = (7 + frauds) * 86_400_000
		}
		return r.Vector()
	}
	usual, large, risky := vector(40_00, 0), vector(400_00, 0), vector(40_00, 9)
	for _, m := range models {
		u, l, r := m.Score(&usual), m.Score(&large), m.Score(&risky)
		if u > 0.02 || l < 0.5 || r < 0.5 {
			t.Errorf("%s: a usual payment scores %.3f, a large one %.3f, a risky terminal %.3f", m.Name(), u, l, r)
		}
	}
}
