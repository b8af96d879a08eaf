package scoring

import "github.com/riffle-stream/riffle/apps/frauddetect/features"

// Explainer is a model that tells what moved its score.
type Explainer interface {
	Model
	// Contributions are in log odds, one for each feature, in the order of features.Names. Together with a constant they make
	// the score.
	Contributions(*features.Vector) features.Vector
}

// Contributions implements Explainer: the weighted features.
func (m *Logistic) Contributions(v *features.Vector) (c features.Vector) {
	for i, at := range m.columns {
		c[at] += float64(m.weights[i] * v[at])
	}
	return c
}

// Contributions implements Explainer, after Saabas: a step from a node to its child moves the mean of the training
// payments below, and the feature that is split there gets the difference.
func (t *Trees) Contributions(v *features.Vector) (c features.Vector) {
	for _, at := range t.roots {
		for n := &t.nodes[at]; n.feature >= 0; {
			next := &t.nodes[n.child(float32(v[n.feature]))]
			c[n.feature] += float64(next.mean) - float64(n.mean)
			n = next
		}
	}
	return c
}
