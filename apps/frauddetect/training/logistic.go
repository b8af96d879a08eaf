package training

import (
	"errors"
	"math"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// unknowns are the most that there are: the weights and, behind the last of them, the bias.
const unknowns = features.Size + 1

// problem is what Newton's method minimises: standardised rows with a constant 1 behind their features.
type problem struct {
	rows   [][unknowns]float64
	frauds []bool
	width  int // number of features
}

// newtonSteps is more than Newton's method takes: it doubles the digits with each step.
const newtonSteps = 50

var errSingular = errors.New("training: the features of the set determine no weights")

// Logistic fits the weights that minimise |w|²/2 plus the logistic losses of all rows, w being the weights of the standardised
// features without the bias: scikit-learn's objective for C = 1. The result is for features as they are.
func Logistic(s *Set) (scoring.LogisticFile, error) {
	if err := s.validate(); err != nil {
		return scoring.LogisticFile{}, err
	}
	mean, deviation := moments(s)
	p := problem{rows: make([][unknowns]float64, len(s.Rows)), frauds: s.Frauds, width: s.width()}
	for i, v := range s.Rows {
		for j := range p.width {
			p.rows[i][j] = (v[j] - mean[j]) / deviation[j]
		}
		p.rows[i][p.width] = 1
	}
	w, err := p.newton()
	if err != nil {
		return scoring.LogisticFile{}, err
	}
	file := scoring.LogisticFile{Features: features.Names()[:p.width], Weights: make([]float64, p.width), Bias: w[p.width]}
	for j := range file.Weights {
		file.Weights[j] = w[j] / deviation[j]
		file.Bias -= float64(w[j] * mean[j] / deviation[j])
	}
	return file, nil
}

// moments returns mean and standard deviation of each feature; the deviation of a constant is 1.
func moments(s *Set) (mean, deviation features.Vector) {
	n := float64(len(s.Rows))
	for _, v := range s.Rows {
		for j := range v {
			mean[j] += v[j] / n
		}
	}
	for _, v := range s.Rows {
		for j := range v {
			d := v[j] - mean[j]
			deviation[j] += float64(d*d) / n
		}
	}
	for j := range deviation {
		if deviation[j] = math.Sqrt(deviation[j]); deviation[j] == 0 {
			deviation[j] = 1
		}
	}
	return mean, deviation
}

// newton minimises the loss. A step that does not lower it is halved.
func (p *problem) newton() (w [unknowns]float64, err error) {
	before := p.loss(&w)
	for range newtonSteps {
		gradient, hessian := p.derivatives(&w)
		step, ok := solve(hessian, gradient, p.width+1)
		if !ok {
			return w, errSingular
		}
		largest := 0.0
		for _, d := range step {
			largest = max(largest, math.Abs(d))
		}
		next, after := w, 0.0
		for scale := 1.0; scale > 1e-6; scale /= 2 {
			for j := range w {
				next[j] = w[j] - float64(scale*step[j])
			}
			if after = p.loss(&next); after <= before {
				break
			}
		}
		if after > before {
			return w, nil // as low as rounding allows
		}
		w, before = next, after
		if largest < 1e-10 {
			break
		}
	}
	return w, nil
}

func (p *problem) margin(row, w *[unknowns]float64) (sum float64) {
	for j := range p.width + 1 {
		sum += float64(row[j] * w[j])
	}
	return sum
}

func (p *problem) loss(w *[unknowns]float64) (sum float64) {
	for j := range p.width {
		sum += float64(w[j]*w[j]) / 2
	}
	for i := range p.rows {
		z := p.margin(&p.rows[i], w)
		if p.frauds[i] {
			z = -z
		}
		// log(1 + e^z), without overflow.
		sum += max(z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
	}
	return sum
}

func (p *problem) derivatives(w *[unknowns]float64) (gradient [unknowns]float64, hessian [unknowns][unknowns]float64) {
	for j := range p.width {
		gradient[j], hessian[j][j] = w[j], 1
	}
	for i := range p.rows {
		row := &p.rows[i]
		chance := 1 / (1 + math.Exp(-p.margin(row, w)))
		weight := chance * (1 - chance)
		if p.frauds[i] {
			chance--
		}
		for j := range p.width + 1 {
			gradient[j] += float64(chance * row[j])
			x := weight * row[j]
			for k := 0; k <= j; k++ {
				hessian[j][k] += float64(x * row[k])
			}
		}
	}
	return gradient, hessian
}

// solve solves a x = b for n unknowns by Cholesky's method. Only the lower half of a is looked at; it fails if a is not positive definite.
func solve(a [unknowns][unknowns]float64, b [unknowns]float64, n int) (x [unknowns]float64, ok bool) {
	for j := range n {
		for k := 0; k <= j; k++ {
			sum := a[j][k]
			for i := range k {
				sum -= float64(a[j][i] * a[k][i])
			}
			if j > k {
				a[j][k] = sum / a[k][k]
				continue
			}
			if !(sum > 0) {
				return x, false
			}
			a[j][j] = math.Sqrt(sum)
		}
	}
	x = b
	for j := range n {
		for i := range j {
			x[j] -= float64(a[j][i] * x[i])
		}
		x[j] /= a[j][j]
	}
	for j := n - 1; j >= 0; j-- {
		for i := j + 1; i < n; i++ {
			x[j] -= float64(a[i][j] * x[i])
		}
		x[j] /= a[j][j]
	}
	return x, true
}
