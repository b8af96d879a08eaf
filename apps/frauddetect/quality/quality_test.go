package quality

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-12 }

// The example of scikit-learn's documentation of roc_auc_score and average_precision_score: scores 0.1, 0.4, 0.35, 0.8 of
// the classes 0, 0, 1, 1 have an AUC of 0.75 and an average precision of 0.83.
func TestMeasureKnown(t *testing.T) {
	t.Parallel()
	m := Measure([]Scored{{Score: 0.1}, {Score: 0.4}, {Score: 0.35, Fraud: true}, {Score: 0.8, Fraud: true}})
	if !near(m.AUC, 0.75) || !near(m.AveragePrecision, 5.0/6) {
		t.Errorf("AUC %v, average precision %v, want 0.75 and 0.8333", m.AUC, m.AveragePrecision)
	}
	same := Measure([]Scored{{Score: 0.5}, {Score: 0.5}, {Score: 0.5, Fraud: true}, {Score: 0.5}})
	if !near(same.AUC, 0.5) || !near(same.AveragePrecision, 0.25) {
		t.Errorf("equal scores: AUC %v, average precision %v, want 0.5 and the share of frauds", same.AUC, same.AveragePrecision)
	}
	if m := Measure([]Scored{{Score: 0.5}}); !math.IsNaN(m.AUC) || !math.IsNaN(m.AveragePrecision) || !math.IsNaN(m.CardPrecision) {
		t.Errorf("without frauds: %+v, want NaN", m)
	}
}

// TestMeasureModel compares with the definitions: pairs for the AUC, a pass for each threshold for the average precision, and
// for Card Precision a day at a time.
func TestMeasureModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var all []Scored
		for range rapid.IntRange(2, 400).Draw(t, "payments") {
			all = append(all, Scored{
				Day: rapid.IntRange(0, 2).Draw(t, "day"), Card: fmt.Sprint(rapid.IntRange(0, 250).Draw(t, "card")),
				Fraud: rapid.IntRange(0, 3).Draw(t, "fraud") == 0, Score: float64(rapid.IntRange(0, 30).Draw(t, "score")) / 30,
			})
		}
		all[0].Fraud, all[1].Fraud = true, false
		var frauds, genuine []float64
		thresholds := map[float64]bool{}
		for _, p := range all {
			thresholds[p.Score] = true
			if p.Fraud {
				frauds = append(frauds, p.Score)
			} else {
				genuine = append(genuine, p.Score)
			}
		}
		atLeast := func(scores []float64, threshold float64) (n float64) {
			for _, s := range scores {
				if s >= threshold {
					n++
				}
			}
			return n
		}
		auc := 0.0
		for _, f := range frauds {
			for _, g := range genuine {
				switch {
				case f > g:
					auc++
				case f == g:
					auc += 0.5
				}
			}
		}
		auc /= float64(len(frauds)) * float64(len(genuine))
		precision, before, recall1 := 0.0, 0.0, 0.0
		for _, threshold := range slices.Backward(slices.Sorted(keys(thresholds))) {
			found, alarms := atLeast(frauds, threshold), atLeast(genuine, threshold)
			recall := found / float64(len(frauds))
			precision += (recall - before) * found / (found + alarms)
			before = recall
			if alarms/float64(len(genuine)) <= 0.01 {
				recall1 = recall
			}
		}
		m := Measure(all)
		if math.Abs(m.AUC-auc) > 1e-9 || math.Abs(m.AveragePrecision-precision) > 1e-9 || math.Abs(m.Recall1-recall1) > 1e-9 {
			t.Fatalf("%+v, want AUC %v, average precision %v, recall %v", m, auc, precision, recall1)
		}
		if want := cardPrecisionSimply(all); math.Abs(m.CardPrecision-want) > 1e-9 {
			t.Fatalf("card precision %v, want %v", m.CardPrecision, want)
		}
	})
}

func keys(m map[float64]bool) func(func(float64) bool) {
	return func(yield func(float64) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func cardPrecisionSimply(all []Scored) float64 {
	gone := map[string]bool{}
	sum, days := 0.0, 0.0
	for day := range 3 {
		type card struct {
			name  string
			score float64
			fraud bool
		}
		var cards []card
		any := false
		for _, p := range all {
			if p.Day != day {
				continue
			}
			any = true
			if gone[p.Card] {
				continue
			}
			i := slices.IndexFunc(cards, func(c card) bool { return c.name == p.Card })
			if i < 0 {
				cards, i = append(cards, card{name: p.Card}), len(cards)
			}
			cards[i].score = max(cards[i].score, p.Score)
			cards[i].fraud = cards[i].fraud || p.Fraud
		}
		if !any {
			continue
		}
		days++
		slices.SortFunc(cards, func(a, b card) int {
			return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.name, b.name))
		})
		for i, c := range cards {
			if i < 100 && c.fraud {
				sum += 0.01
				gone[c.name] = true
			}
		}
	}
	return sum / days
}

// A card leaves the test as soon as one of its frauds, from the train week on, is eight days old.
func TestSelect(t *testing.T) {
	t.Parallel()
	h := make(History)
	for _, day := range []int{99, 100, 100} {
		h.Add("trained", day)
	}
	h.Add("before", 99) // not of the train week, so nobody looked
	h.Add("gap", 108)
	h.Add("test", 114)
	var all []Scored
	for day := 112; day <= 122; day++ {
		for _, card := range []string{"trained", "before", "gap", "test"} {
			all = append(all, Scored{Day: day, Card: card})
		}
	}
	got := map[string][]int{}
	for _, p := range (Week{Train: 100}).Select(all, h) {
		got[p.Card] = append(got[p.Card], p.Day)
	}
	want := map[string][]int{
		"before": {114, 115, 116, 117, 118, 119, 120},
		"gap":    {114, 115},
		"test":   {114, 115, 116, 117, 118, 119, 120},
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("test days (-want +got):\n%s", diff)
	}
}

func TestWeeks(t *testing.T) {
	t.Parallel()
	if diff := gocmp.Diff([]Week{{100}, {107}, {114}}, Weeks(100, 3)); diff != "" {
		t.Errorf("Weeks (-want +got):\n%s", diff)
	}
	if first, next := (Week{100}).Test(); first != 114 || next != 121 {
		t.Errorf("Test() = [%d, %d), want [114, 121)", first, next)
	}
}

func TestSummarize(t *testing.T) {
	t.Parallel()
	s := Summarize([]Measures{{AUC: 1}, {AUC: 3}}, func(m Measures) float64 { return m.AUC })
	if s != (Summary{Mean: 2, StdDev: 1}) {
		t.Errorf("%+v, want mean 2 and standard deviation 1", s)
	}
}
