package training

import (
	"errors"
	"math"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// unknowns are the weights and, last, the bias.
const unknowns = features.Size + 1

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
	rows := make([][unknowns]float64, len(s.Rows))
	for i, v := range s.Rows {
		for j := range v {
			rows[i][j] = (v[j] - mean[j]) / deviation[j]
		}
		rows[i][features.Size] = 1
	}
	w, err := newton(rows, s.Frauds)
	if err != nil {
		return scoring.LogisticFile{}, err
	}
	file := scoring.LogisticFile{Features: features.Names(), Weights: make([]float64, features.Size), Bias: w[features.Size]}
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
func newton(rows [][unknowns]float64, frauds []bool) (w [unknowns]float64, err error) {
	before := loss(rows, frauds, &w)
	for range newtonSteps {
		gradient, hessian := derivatives(rows, frauds, &w)
		step, ok := solve(hessian, gradient)
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
			if after = loss(rows, frauds, &next); after <= before {
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

func margin(row, w *[unknowns]float64) (sum float64) {
	for j := range row {
		sum += float64(row[j] * w[j])
	}
	return sum
}

func loss(rows [][unknowns]float64, frauds []bool, w *[unknowns]float64) (sum float64) {
	for j := range features.Size {
		sum += float64(w[j]*w[j]) / 2
	}
	for i := range rows {
		z := margin(&rows[i], w)
		if frauds[i] {
			z = -z
		}
		// log(1 + e^z), without overflow.
		sum += max(z, 0) + math.Log1p(math.Exp(-math.Abs(z)))
	}
	return sum
}

func derivatives(rows [][unknowns]float64, frauds []bool, w *[unknowns]float64) (gradient [unknowns]float64, hessian [unknowns][unknowns]float64) {
	for j := range features.Size {
		gradient[j], hessian[j][j] = w[j], 1
	}
	for i := range rows {
		row := &rows[i]
		p := 1 / (1 + math.Exp(-margin(row, w)))
		weight := p * (1 - p)
		if frauds[i] {
			p--
		}
		for j := range row {
			gradient[j] += float64(p * row[j])
			x := weight * row[j]
			for k := 0; k <= j; k++ {
				hessian[j][k] += float64(x * row[k])
			}
		}
	}
	return gradient, hessian
}

// solve solves a x = b by Cholesky's method. Only the lower half of a is looked at; it fails if a is not positive definite.
func solve(a [unknowns][unknowns]float64, b [unknowns]float64) (x [unknowns]float64, ok bool) {
	for j := range unknowns {
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
	for j := range unknowns {
		for i := range j {
			x[j] -= float64(a[j][i] * x[i])
		}
		x[j] /= a[j][j]
	}
	for j := unknowns - 1; j >= 0; j-- {
		for i := j + 1; i < unknowns; i++ {
			x[j] -= float64(a[i][j] * x[i])
		}
		x[j] /= a[j][j]
	}
	return x, true
}
