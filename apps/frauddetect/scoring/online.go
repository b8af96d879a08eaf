package scoring

import (
	"encoding/binary"
	"encoding/json/v2"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
)

// Learner is a model that learns from payments whose labels have come. It is not safe for concurrent use.
type Learner interface {
	Model
	// New returns a model of the same kind that has learned nothing.
	New() Learner
	// Learn takes a payment and what it was.
	Learn(v *features.Vector, fraud bool)
	// Delay is how long after a payment it counts as genuine, if nobody has said otherwise.
	Delay() time.Duration
	// AppendBinary and UnmarshalBinary keep what was learned.
	AppendBinary([]byte) ([]byte, error)
	UnmarshalBinary([]byte) error
}

// onlineSize is the number of inputs of Online: the published features, and three that are made of them.
const onlineSize = features.Published + 3

// Online is logistic regression that learns one payment after the other, by AdaGrad (Duchi et al., 2011) on inputs that are standardised
// by the mean and the variance of what it has seen (Welford). The same payments in the same order give the same bits.
//
// Beside the published features it sees how the amount compares with the card's mean of 30 days, as a logarithm, the part of that above
// zero, and the highest risk of the terminal.
type Online struct {
	name string
	cfg  OnlineConfig

	seen       float64 // payments
	mean, m2   [onlineSize]float64
	weights    [onlineSize + 1]float64 // the last is the bias
	squares    [onlineSize + 1]float64 // sums of squared gradients
	normalised [onlineSize + 1]float64 // scratch
}

// OnlineConfig is the "online" of a model's file. The zero value is a working configuration.
type OnlineConfig struct {
	// LearningRate is 0.2 by default.
	LearningRate float64 `json:"learningRate"`
	// DelayHours is how long after a payment it counts as genuine if no label came. The default is a week and an hour: labels
	// come after a week.
	DelayHours float64 `json:"delayHours"`
}

func parseOnline(name string, b []byte) (*Online, error) {
	var file struct {
		Online OnlineConfig `json:"online"`
	}
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("scoring: model %s: %w", name, err)
	}
	cfg := file.Online
	if cfg.LearningRate == 0 {
		cfg.LearningRate = 0.2
	}
	if cfg.DelayHours == 0 {
		cfg.DelayHours = 7*24 + 1
	}
	if !(cfg.LearningRate > 0 && cfg.LearningRate <= 10) || !(cfg.DelayHours > 0 && cfg.DelayHours <= 90*24) {
		return nil, fmt.Errorf("scoring: model %s: learning rate %v and delay %v hours: want more than 0, up to 10 and 2,160", name, cfg.LearningRate, cfg.DelayHours)
	}
	return &Online{name: name, cfg: cfg}, nil
}

// Name implements Model.
func (m *Online) Name() string { return m.name }

// New implements Learner.
func (m *Online) New() Learner { return &Online{name: m.name, cfg: m.cfg} }

// Delay implements Learner.
func (m *Online) Delay() time.Duration { return time.Duration(m.cfg.DelayHours * float64(time.Hour)) }

// Score implements Model. Without anything learned it is one half.
func (m *Online) Score(v *features.Vector) float64 {
	m.normalise(v)
	return m.score()
}

func (m *Online) score() float64 {
	sum := 0.0
	for i, x := range m.normalised {
		sum += float64(m.weights[i] * x)
	}
	return 1 / (1 + math.Exp(-sum))
}

// Learn implements Learner.
func (m *Online) Learn(v *features.Vector, fraud bool) {
	m.observe(v)
	m.normalise(v)
	err := m.score()
	if fraud {
		err--
	}
	for i, x := range m.normalised {
		g := err * x
		m.squares[i] += float64(g * g)
		if m.squares[i] > 0 {
			m.weights[i] -= float64(m.cfg.LearningRate * g / math.Sqrt(m.squares[i]))
		}
	}
}

// Contributions implements Explainer: the weighted inputs, those that are made of features with the feature that they compare.
func (m *Online) Contributions(v *features.Vector) (c features.Vector) {
	m.normalise(v)
	for i, x := range m.normalised[:onlineSize] {
		at := i
		switch i {
		case features.Published, features.Published + 1:
			at = amountFeature
		case features.Published + 2:
			at = riskFeatures[len(riskFeatures)-1]
		}
		c[at] += float64(m.weights[i] * x)
	}
	return c
}

// Places in a features.Vector.
const amountFeature, meanFeature = 0, 8

var riskFeatures = [...]int{10, 12, 14}

func inputs(v *features.Vector) (x [onlineSize]float64) {
	copy(x[:], v[:features.Published])
	if mean := v[meanFeature]; mean > 0 && v[amountFeature] > 0 {
		x[features.Published] = math.Log(v[amountFeature] / mean)
		x[features.Published+1] = max(0, x[features.Published])
	}
	for _, at := range riskFeatures {
		x[features.Published+2] = max(x[features.Published+2], v[at])
	}
	return x
}

func (m *Online) observe(v *features.Vector) {
	m.seen++
	for i, x := range inputs(v) {
		d := x - m.mean[i]
		m.mean[i] += d / m.seen
		m.m2[i] += float64(d * (x - m.mean[i]))
	}
}

func (m *Online) normalise(v *features.Vector) {
	for i, x := range inputs(v) {
		m.normalised[i] = 0
		if m.m2[i] > 0 {
			m.normalised[i] = (x - m.mean[i]) / math.Sqrt(m.m2[i]/m.seen)
		}
	}
	m.normalised[onlineSize] = 1
}

// numbers are all that was learned, in the order in which they are encoded.
func (m *Online) numbers(each func(*float64)) {
	each(&m.seen)
	for _, part := range [...][]float64{m.mean[:], m.m2[:], m.weights[:], m.squares[:]} {
		for i := range part {
			each(&part[i])
		}
	}
}

// onlineVersion is the first byte of what AppendBinary appends; the numbers follow.
const onlineVersion = 1

var errOnline = errors.New("scoring: what an online model has learned does not parse")

// AppendBinary implements Learner.
func (m *Online) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, onlineVersion)
	m.numbers(func(f *float64) { b = binary.BigEndian.AppendUint64(b, math.Float64bits(*f)) })
	return b, nil
}

// UnmarshalBinary implements Learner.
func (m *Online) UnmarshalBinary(b []byte) error {
	const size = 1 + 8*(1+2*onlineSize+2*(onlineSize+1))
	if len(b) != size || b[0] != onlineVersion {
		return errOnline
	}
	b = b[1:]
	m.numbers(func(f *float64) { *f, b = math.Float64frombits(binary.BigEndian.Uint64(b)), b[8:] })
	return nil
}
