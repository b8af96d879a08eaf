package scoring

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
)

func mustParse(t *testing.T, name, text string) Model {
	t.Helper()
	m, err := Parse(name, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestRulesScore(t *testing.T) {
	t.Parallel()
	m := mustParse(t, "hand", `{"rules":[
		{"condition":"TX_AMOUNT > 3.0 * CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW","score":0.6},
		{"condition":"TX_AMOUNT > 220","score":0.9},
		{"condition":"1 / int(TX_DURING_NIGHT) > 0","score":1}]}`)
	for _, test := range []struct{ amount, mean, want float64 }{{10, 10, 0}, {31, 10, 0.6}, {221, 200, 0.9}, {500, 10, 0.9}} {
		v := features.Vector{0: test.amount, meanFeature: test.mean} // by day: the third condition divides by zero
		if got := m.Score(&v); got != test.want {
			t.Errorf("amount %v, mean %v: %v, want %v", test.amount, test.mean, got, test.want)
		}
	}
}

func TestModelMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{}`:           `has none of "weights"`,
		`{"rules":[]}`: "0 rules",
		`{"rules":[{"condition":"TX_AMOUNT >","score":1}]}`:      "rule 1",
		`{"rules":[{"condition":"TX_AMOUNT > 1","score":2}]}`:    "score 2: want 0 to 1",
		`{"rules":[{"condition":"card == 'a' || amountt > 1"}]}`: "undeclared reference",
		`{"online":{"learningRate":-1}}`:                         "learning rate -1",
	} {
		if _, err := Parse("m", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Parse(%s) error = %v, want one with %q", text, err, want)
		}
	}
}

// The contributions and the score of a payment without any feature make the score; the mean of all leaves does for trees.
func TestContributionsMakeTheScore(t *testing.T) {
	t.Parallel()
	models, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	v := features.Vector{310, 1, 1, 4, 120, 9, 80, 30, 60, 1, 0.5, 8, 0.4, 30, 0.2}
	logOdds := func(score float64) float64 { return math.Log(score / (1 - score)) }
	for _, m := range models {
		sum := 0.0
		for _, c := range m.(Explainer).Contributions(&v) {
			sum += c
		}
		switch m := m.(type) {
		case *Logistic:
			sum += m.bias
		case *Trees:
			sum += float64(m.base)
			for _, root := range m.roots {
				sum += float64(m.nodes[root].mean)
			}
		}
		if want := logOdds(m.Score(&v)); math.Abs(sum-want) > 1e-3*math.Abs(want) {
			t.Errorf("%s: contributions make %v, the score is %v", m.Name(), sum, want)
		}
	}
}

func TestContributionsFollowThePath(t *testing.T) {
	t.Parallel()
	tree := TreeFile{
		LeftChildren: []int32{1, -1, -1}, RightChildren: []int32{2, -1, -1}, SplitIndices: []int32{0, 0, 0},
		SplitConditions: []float32{220, -1, 3}, DefaultLeft: []int{0, 0, 0}, SumHessian: []float32{4, 3, 1},
	}
	m := new(Trees)
	if err := m.add(&tree, []int{0}); err != nil {
		t.Fatal(err)
	}
	// The mean is (3*-1 + 1*3)/4 = 0.
	for amount, want := range map[float64]float64{10: -1, 300: 3} {
		v := features.Vector{amount}
		if got := m.Contributions(&v); got != (features.Vector{want}) {
			t.Errorf("amount %v: %v, want %v of the first feature alone", amount, got, want)
		}
	}
}

// draw makes payments whose frauds have large amounts or risky terminals.
func draw(r *rand.Rand) (v features.Vector, fraud bool) {
	for i := range v {
		v[i] = r.Float64() * 50
	}
	v[10], v[12], v[14] = 0, 0, 0
	v[meanFeature] = 20
	if fraud = r.IntN(20) == 0; fraud {
		v[amountFeature] = 100 + 100*r.Float64()
		v[12] = 0.5
	}
	return v, fraud
}

func TestOnlineLearns(t *testing.T) {
	t.Parallel()
	m := mustParse(t, "online", `{"online":{}}`).(Learner)
	if got := m.Score(new(features.Vector)); got != 0.5 {
		t.Errorf("before anything was learned the score is %v, want 0.5", got)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		v, fraud := draw(r)
		m.Learn(&v, fraud)
	}
	for range 100 {
		v, fraud := draw(r)
		if score := m.Score(&v); fraud != (score > 0.5) {
			t.Errorf("score %v of a payment whose being a fraud is %v", score, fraud)
		}
	}
	if fresh := m.New(); fresh.Name() != "online" || fresh.Score(new(features.Vector)) != 0.5 {
		t.Error("a new model has learned something")
	}
}

// What was learned is kept to the bit: a model that is read back goes on as the other one does.
func TestOnlineIsKept(t *testing.T) {
	t.Parallel()
	m := mustParse(t, "online", `{"online":{}}`).(Learner)
	r := rand.New(rand.NewPCG(3, 4))
	var kept []byte
	var again Learner
	for i := range 1000 {
		if i == 500 {
			var err error
			if kept, err = m.AppendBinary(nil); err != nil {
				t.Fatal(err)
			}
			again = m.New()
			if err := again.UnmarshalBinary(kept); err != nil {
				t.Fatal(err)
			}
		}
		v, fraud := draw(r)
		m.Learn(&v, fraud)
		if again != nil {
			again.Learn(&v, fraud)
			if a, b := m.Score(&v), again.Score(&v); a != b {
				t.Fatalf("payment %d: %v, and %v after reading back", i, a, b)
			}
		}
	}
	a, _ := m.AppendBinary(nil)
	b, _ := again.AppendBinary(nil)
	if diff := cmp.Diff(a, b); diff != "" {
		t.Error("the states differ in the end")
	}
	if err := again.UnmarshalBinary(kept[:len(kept)-1]); err == nil {
		t.Error("a state that was cut is read")
	}
}

func BenchmarkOnline(b *testing.B) {
	m := &Online{cfg: OnlineConfig{LearningRate: 0.2}}
	r := rand.New(rand.NewPCG(1, 2))
	v, fraud := draw(r)
	b.Run("op=score", func(b *testing.B) {
		for b.Loop() {
			m.Score(&v)
		}
	})
	b.Run("op=learn", func(b *testing.B) {
		for b.Loop() {
			m.Learn(&v, fraud)
		}
	})
}
