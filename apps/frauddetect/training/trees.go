package training

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"sync"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// TreesConfig tunes the trees. The zero value is a working configuration.
type TreesConfig struct {
	Rounds       int     // number of trees; the default is 100
	Depth        int     // of a tree; the default is 4
	LearningRate float64 // the default is 0.1
	Lambda       float64 // L2 penalty of the leaves; the default is 1
	// MinWeight is the least sum of second derivatives in a leaf. The default is 1.
	MinWeight float64
}

func (c TreesConfig) withDefaults() TreesConfig {
	c.Rounds, c.Depth = cmp.Or(c.Rounds, 100), cmp.Or(c.Depth, 4)
	c.LearningRate, c.Lambda, c.MinWeight = cmp.Or(c.LearningRate, 0.1), cmp.Or(c.Lambda, 1), cmp.Or(c.MinWeight, 1)
	return c
}

// maxBins is how many values of a feature are told apart: half of them by where the rows are, half by where the frauds are. Few rows
// lie at the amounts that matter, and all of them in one of a thousand equal parts.
const maxBins = 1024

// Trees fits gradient-boosted trees for the logistic loss.
func Trees(s *Set, cfg TreesConfig) (scoring.TreesFile, error) {
	if err := s.validate(); err != nil {
		return scoring.TreesFile{}, err
	}
	cfg = cfg.withDefaults()
	b := &booster{cfg: cfg, width: s.width(), derivatives: make([]sums, len(s.Rows)), margins: make([]float64, len(s.Rows)), order: make([]int32, len(s.Rows))}
	b.bin(s)
	file := newTreesFile(b.width)
	for range cfg.Rounds {
		for i, m := range b.margins {
			p := 1 / (1 + math.Exp(-m))
			d := sums{p, p * (1 - p)}
			if s.Frauds[i] {
				d.first--
			}
			b.derivatives[i] = d
			b.order[i] = int32(i)
		}
		file.Learner.Booster.Model.Trees = append(file.Learner.Booster.Model.Trees, b.tree())
	}
	return file, nil
}

func newTreesFile(width int) (file scoring.TreesFile) {
	l := &file.Learner
	l.FeatureNames = features.Names()[:width]
	l.Booster.Name, l.Objective.Name = "gbtree", "binary:logistic"
	l.Params.BaseScore, l.Params.NumClass, l.Params.NumFeatures = "5E-1", "0", strconv.Itoa(width)
	file.Version = []int{2, 0, 0} // of XGBoost's format
	return file
}

// booster grows trees.
type booster struct {
	cfg         TreesConfig
	width       int                      // number of features
	bins        [features.Size][]uint16  // of each row
	cuts        [features.Size][]float32 // bin n holds what is at least cuts[n-1] and below cuts[n]
	derivatives []sums
	margins     []float64 // of each row: the sum of the leaves it fell into
	order       []int32   // rows; those of a node stand together
}

// sums are first and second derivatives of the loss, of a row or of many.
type sums struct{ first, second float64 }

func (s *sums) add(d sums) { s.first, s.second = s.first+d.first, s.second+d.second }

func (s sums) minus(d sums) sums { return sums{s.first - d.first, s.second - d.second} }

// gain is what a leaf with these sums takes off the loss, doubled.
func (s sums) gain(lambda float64) float64 { return s.first * s.first / (s.second + lambda) }

// histogram holds the sums of each bin of each feature.
type histogram [features.Size][maxBins + 1]sums

// bin parts each feature's values, in single precision as inference compares them, into bins. Values that are equal share one.
func (b *booster) bin(s *Set) {
	b.eachFeature(func(j int) {
		values := make([]float32, len(s.Rows))
		for i := range s.Rows {
			values[i] = float32(s.Rows[i][j])
		}
		b.cuts[j] = cut(values, s.Frauds)
		b.bins[j] = make([]uint16, len(values))
		for i, v := range values {
			n, found := slices.BinarySearch(b.cuts[j], v)
			if found {
				n++ // a value that equals a cut goes right of it
			}
			b.bins[j][i] = uint16(n)
		}
	})
}

// cut returns where to part values: between all of them if they are few, or else into parts of as many rows, and of as many frauds.
// Each cut lies halfway between a value and the one before it.
func cut(values []float32, frauds []bool) (cuts []float32) {
	distinct := slices.Clone(values)
	slices.Sort(distinct)
	sorted := slices.Clone(distinct)
	distinct = slices.Compact(distinct)
	first := distinct[1:] // values that begin a bin
	if len(distinct) > maxBins {
		var of []float32
		for i, v := range values {
			if frauds[i] {
				of = append(of, v)
			}
		}
		slices.Sort(of)
		first = append(quantiles(sorted, maxBins/2), quantiles(of, maxBins/2)...)
		slices.Sort(first)
		first = slices.Compact(first)
	}
	for _, v := range first {
		i, _ := slices.BinarySearch(distinct, v)
		if i == 0 {
			continue
		}
		below := distinct[i-1]
		if c := below + (v-below)/2; c > below {
			cuts = append(cuts, c)
		} else {
			cuts = append(cuts, v)
		}
	}
	return cuts
}

// quantiles returns up to n values that part sorted ones evenly.
func quantiles(sorted []float32, n int) (q []float32) {
	n = min(n, len(sorted))
	for i := range n {
		q = append(q, sorted[i*len(sorted)/n])
	}
	return q
}

// eachFeature calls f for each feature, in parallel: what is computed of one does not depend on the others.
func (b *booster) eachFeature(f func(feature int)) {
	var wait sync.WaitGroup
	for j := range b.width {
		wait.Go(func() { f(j) })
	}
	wait.Wait()
}

func (b *booster) histogram(rows []int32) *histogram {
	h := new(histogram)
	b.eachFeature(func(j int) {
		bins, sums := b.bins[j], &h[j]
		for _, i := range rows {
			sums[bins[i]].add(b.derivatives[i])
		}
	})
	return h
}

// growing is a node that may be split.
type growing struct {
	node, depth int
	rows        []int32
	total       sums
	histogram   *histogram // nil if it cannot be split
}

// tree grows one tree, level by level, and adds its leaves to the margins.
func (b *booster) tree() scoring.TreeFile {
	var t scoring.TreeFile
	root := growing{rows: b.order}
	for _, i := range b.order {
		root.total.add(b.derivatives[i])
	}
	root.histogram = b.histogram(b.order)
	addNode(&t)
	for queue := []growing{root}; len(queue) > 0; queue = queue[1:] {
		g := queue[0]
		t.SumHessian[g.node] = float32(g.total.second)
		s, ok := split{}, false
		if g.depth < b.cfg.Depth {
			s, ok = b.best(&g)
		}
		if !ok {
			leaf := float32(-b.cfg.LearningRate * g.total.first / (g.total.second + b.cfg.Lambda))
			t.SplitConditions[g.node] = leaf
			for _, i := range g.rows {
				b.margins[i] += float64(leaf)
			}
			continue
		}
		left, right := b.part(&g, s)
		left.node, right.node = addNode(&t), addNode(&t)
		t.LeftChildren[g.node], t.RightChildren[g.node] = int32(left.node), int32(right.node)
		t.SplitIndices[g.node], t.SplitConditions[g.node] = int32(s.feature), b.cuts[s.feature][s.bin]
		queue = append(queue, left, right)
	}
	return t
}

// addNode adds a leaf.
func addNode(t *scoring.TreeFile) int {
	t.LeftChildren, t.RightChildren = append(t.LeftChildren, -1), append(t.RightChildren, -1)
	t.SplitIndices, t.SplitConditions = append(t.SplitIndices, 0), append(t.SplitConditions, 0)
	t.DefaultLeft, t.SplitType = append(t.DefaultLeft, 0), append(t.SplitType, 0)
	t.SumHessian = append(t.SumHessian, 0)
	return len(t.LeftChildren) - 1
}

// split sends the bins up to and including bin to the left.
type split struct {
	feature, bin int
	left         sums
	gain         float64
}

// best finds the split with the highest gain; of equal ones the first.
func (b *booster) best(g *growing) (best split, ok bool) {
	parent := g.total.gain(b.cfg.Lambda)
	for j := range b.width {
		var left sums
		for n := range b.cuts[j] {
			left.add(g.histogram[j][n])
			right := g.total.minus(left)
			if left.second < b.cfg.MinWeight || right.second < b.cfg.MinWeight {
				continue
			}
			gain := left.gain(b.cfg.Lambda) + right.gain(b.cfg.Lambda) - parent
			if gain > best.gain+1e-9 {
				best, ok = split{j, n, left, gain}, true
			}
		}
	}
	return best, ok
}

// part parts the rows of a node. The histogram of the larger child is what the smaller one leaves of the parent's.
func (b *booster) part(g *growing, s split) (left, right growing) {
	bins := b.bins[s.feature]
	goLeft := func(i int32) bool { return int(bins[i]) <= s.bin }
	var rest []int32
	n := 0
	for _, i := range g.rows {
		if goLeft(i) {
			g.rows[n] = i
			n++
		} else {
			rest = append(rest, i)
		}
	}
	copy(g.rows[n:], rest)
	left = growing{depth: g.depth + 1, rows: g.rows[:n], total: s.left}
	right = growing{depth: g.depth + 1, rows: g.rows[n:], total: g.total.minus(s.left)}
	if left.depth == b.cfg.Depth {
		return left, right
	}
	small, large := &left, &right
	if len(left.rows) > len(right.rows) {
		small, large = large, small
	}
	small.histogram, large.histogram = b.histogram(small.rows), g.histogram
	for j := range b.width {
		for n := range large.histogram[j] {
			large.histogram[j][n] = large.histogram[j][n].minus(small.histogram[j][n])
		}
	}
	return left, right
}
