package training

import (
	"encoding/json/v2"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// made returns payments of which those above 220 are frauds, and many of those at night at a terminal with a known risk.
func made(n int, seed uint64) *Set {
	random := rand.New(rand.NewPCG(seed, 0))
	var s Set
	for range n {
		v := features.Vector{0: math.Round(random.ExpFloat64()*6000) / 100, 2: float64(random.IntN(2)), 10: random.Float64()}
		fraud := v[0] > 220 || v[2] == 1 && v[10] > 0.9 && random.IntN(10) > 0
		s.Add(v, fraud)
	}
	return &s
}

func model(t *testing.T, file any) scoring.Model {
	t.Helper()
	b, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	m, err := scoring.Parse("m", b)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func logLoss(m scoring.Model, s *Set) (sum float64) {
	for i := range s.Rows {
		p := m.Score(&s.Rows[i])
		if !s.Frauds[i] {
			p = 1 - p
		}
		sum -= math.Log(p)
	}
	return sum / float64(len(s.Rows))
}

// At the minimum no small step in any direction lowers the objective.
func TestLogisticIsMinimal(t *testing.T) {
	t.Parallel()
	s := made(3000, 1)
	file, err := Logistic(s)
	if err != nil {
		t.Fatal(err)
	}
	_, deviation := moments(s)
	objective := func(f scoring.LogisticFile) (sum float64) {
		for j, w := range f.Weights {
			sum += math.Pow(w*deviation[j], 2) / 2
		}
		return sum + float64(len(s.Rows))*logLoss(model(t, f), s)
	}
	least := objective(file)
	for j := range features.Size + 1 {
		for _, step := range []float64{-1e-3, 1e-3} {
			moved := file
			moved.Weights = append([]float64(nil), file.Weights...)
			if j < features.Size {
				moved.Weights[j] += step / deviation[j]
			} else {
				moved.Bias += step
			}
			if got := objective(moved); got < least {
				t.Errorf("unknown %d moved by %v: objective %v, below %v", j, step, got, least)
			}
		}
	}
}

// A set of the published features gives models that know no others, whatever those say.
func TestPublishedAlone(t *testing.T) {
	t.Parallel()
	s := made(3000, 1)
	s.Published = true
	logistic, err1 := Logistic(s)
	trees, err2 := Trees(s, TreesConfig{Rounds: 5})
	for i := range s.Rows {
		for j := features.Published; j < features.Size; j++ {
			s.Rows[i][j] = float64(i)
		}
	}
	logisticAgain, err3 := Logistic(s)
	treesAgain, err4 := Trees(s, TreesConfig{Rounds: 5})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]any{logistic, trees}, []any{logisticAgain, treesAgain}); diff != "" {
		t.Errorf("with other values behind the published ones (-before +after):\n%s", diff)
	}
	if n, m := len(logistic.Features), len(trees.Learner.FeatureNames); n != features.Published || m != n {
		t.Errorf("the models name %d and %d features, want the %d published ones", n, m, features.Published)
	}
}

// The trees find thresholds that are exact between two payments, on payments they have not seen.
func TestTreesLearn(t *testing.T) {
	t.Parallel()
	file, err := Trees(made(20_000, 1), TreesConfig{Rounds: 60, Depth: 3})
	if err != nil {
		t.Fatal(err)
	}
	m := model(t, file)
	test := made(5000, 2)
	wrong := 0
	for i := range test.Rows {
		v := &test.Rows[i]
		likely := v[0] > 220 || v[2] == 1 && v[10] > 0.9
		if (m.Score(v) > 0.5) != likely {
			wrong++
		}
	}
	if wrong > 25 {
		t.Errorf("%d of %d payments are on the wrong side", wrong, len(test.Rows))
	}
}

// TestTreesModel compares the first split and its leaves with a search through all cuts of all features.
func TestTreesModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s Set
		for range rapid.IntRange(10, 80).Draw(t, "rows") {
			var v features.Vector
			for j := range 3 {
				v[j] = float64(rapid.IntRange(0, 12).Draw(t, "value"))
			}
			s.Add(v, rapid.Bool().Draw(t, "fraud"))
		}
		file, err := Trees(&s, TreesConfig{Rounds: 1, Depth: 1, LearningRate: 1})
		if err != nil {
			if s.validate() == nil {
				t.Fatal(err)
			}
			return
		}
		sum := func(include func(features.Vector) bool) (g, h float64) {
			for i, v := range s.Rows {
				if include(v) {
					h += 0.25
					if s.Frauds[i] {
						g -= 0.5
					} else {
						g += 0.5
					}
				}
			}
			return g, h
		}
		gain := func(g, h float64) float64 { return g * g / (h + 1) }
		allG, allH := sum(func(features.Vector) bool { return true })
		best := 0.0
		for j := range 3 {
			for cut := 0.5; cut < 12; cut++ {
				g, h := sum(func(v features.Vector) bool { return v[j] < cut })
				if h >= 1 && allH-h >= 1 {
					best = max(best, gain(g, h)+gain(allG-g, allH-h)-gain(allG, allH))
				}
			}
		}
		tree := file.Learner.Booster.Model.Trees[0]
		if tree.LeftChildren[0] < 0 {
			if best > 1e-6 {
				t.Fatalf("no split, though one gains %v", best)
			}
			return
		}
		j, threshold := tree.SplitIndices[0], float64(tree.SplitConditions[0])
		g, h := sum(func(v features.Vector) bool { return v[j] < threshold })
		if got := gain(g, h) + gain(allG-g, allH-h) - gain(allG, allH); math.Abs(got-best) > 1e-6 {
			t.Fatalf("feature %d below %v gains %v, the best split %v", j, threshold, got, best)
		}
		left, right := float64(tree.SplitConditions[1]), float64(tree.SplitConditions[2])
		if math.Abs(left+g/(h+1)) > 1e-6 || math.Abs(right+(allG-g)/(allH-h+1)) > 1e-6 {
			t.Fatalf("leaves %v and %v, want %v and %v", left, right, -g/(h+1), -(allG-g)/(allH-h+1))
		}
	})
}

// Equal sets give equal models.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	var first []byte
	for range 3 {
		s := made(3000, 3)
		logistic, err1 := Logistic(s)
		trees, err2 := Trees(s, TreesConfig{Rounds: 5})
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal([]any{logistic, trees})
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		} else if diff := cmp.Diff(string(first), string(b)); diff != "" {
			t.Fatalf("trained again (-first +again):\n%s", diff)
		}
	}
}

func TestOneClass(t *testing.T) {
	t.Parallel()
	var s Set
	s.Add(features.Vector{}, false)
	_, err1 := Logistic(&s)
	_, err2 := Trees(&s, TreesConfig{})
	if !errors.Is(err1, ErrOneClass) || !errors.Is(err2, ErrOneClass) {
		t.Errorf("a set without frauds: %v, %v, want ErrOneClass", err1, err2)
	}
}
