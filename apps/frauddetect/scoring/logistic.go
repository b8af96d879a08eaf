package scoring

import (
	"encoding/json/v2"
	"fmt"
	"math"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
)

// Logistic is logistic regression: the sigmoid of Bias and the weighted features.
type Logistic struct {
	name    string
	columns []int
	weights []float64
	bias    float64
}

// LogisticFile is the JSON form of a Logistic.
type LogisticFile struct {
	Features []string  `json:"features"`
	Weights  []float64 `json:"weights"`
	Bias     float64   `json:"bias"`
}

func parseLogistic(name string, b []byte) (*Logistic, error) {
	var file LogisticFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("scoring: model %s: %w", name, err)
	}
	at, err := columns(name, file.Features, len(file.Weights))
	if err != nil {
		return nil, err
	}
	return &Logistic{name: name, columns: at, weights: file.Weights, bias: file.Bias}, nil
}

// Name implements Model.
func (m *Logistic) Name() string { return m.name }

// Score implements Model. The conversion keeps a compiler from fusing the multiplication with the addition: all machines
// get the same bits.
func (m *Logistic) Score(v *features.Vector) float64 {
	sum := m.bias
	for i, at := range m.columns {
		sum += float64(m.weights[i] * v[at])
	}
	return 1 / (1 + math.Exp(-sum))
}
