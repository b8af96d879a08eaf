package scoring

import (
	"encoding/json/v2"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
)

// Trees are gradient-boosted regression trees with a logistic link.
type Trees struct {
	name  string
	nodes []node // of all trees
	roots []int32
	base  float32 // log odds
}

// node is a split, or a leaf if feature is negative.
type node struct {
	threshold   float32 // of a leaf: its value
	feature     int32   // place in a features.Vector
	left, right int32   // places in Trees.nodes
	missingLeft bool    // where a feature that is not a number goes
	mean        float32 // of the leaves below, by the training payments in them
}

// child is where a payment with this value of the feature goes.
func (n *node) child(f float32) int32 {
	if f < n.threshold || n.missingLeft && f != f {
		return n.left
	}
	return n.right
}

// TreesFile is the part of XGBoost's JSON form that inference needs.
type TreesFile struct {
	Learner struct {
		FeatureNames []string        `json:"feature_names"`
		Booster      GradientBooster `json:"gradient_booster"`
		Params       struct {
			BaseScore   string `json:"base_score"`
			NumClass    string `json:"num_class"`
			NumFeatures string `json:"num_feature"`
		} `json:"learner_model_param"`
		Objective struct {
			Name string `json:"name"`
		} `json:"objective"`
	} `json:"learner"`
	Version []int `json:"version"`
}

// GradientBooster holds the trees.
type GradientBooster struct {
	Name  string `json:"name"`
	Model struct {
		Trees []TreeFile `json:"trees"`
	} `json:"model"`
}

// TreeFile is one tree: the same number of entries in each list, one for each node; the root is the first. A node with
// a left child of -1 is a leaf, with its value in SplitConditions.
type TreeFile struct {
	LeftChildren    []int32   `json:"left_children"`
	RightChildren   []int32   `json:"right_children"`
	SplitIndices    []int32   `json:"split_indices"`
	SplitConditions []float32 `json:"split_conditions"`
	DefaultLeft     []int     `json:"default_left"`
	SplitType       []int     `json:"split_type,omitempty"` // 1 is a categorical split
	// SumHessian is how much of the training payments came to a node. Only explanations need it.
	SumHessian []float32 `json:"sum_hessian,omitempty"`
}

func parseTrees(name string, b []byte) (*Trees, error) {
	var file TreesFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("scoring: model %s: %w", name, err)
	}
	l := &file.Learner
	if l.Objective.Name != "binary:logistic" || l.Booster.Name != "gbtree" {
		return nil, fmt.Errorf("scoring: model %s is a %q with objective %q: want gbtree with binary:logistic", name, l.Booster.Name, l.Objective.Name)
	}
	count, err := strconv.Atoi(l.Params.NumFeatures)
	if err != nil {
		return nil, fmt.Errorf("scoring: model %s: num_feature: %w", name, err)
	}
	at, err := columns(name, l.FeatureNames, count)
	if err != nil {
		return nil, err
	}
	t := &Trees{name: name}
	if t.base, err = baseMargin(l.Params.BaseScore); err != nil {
		return nil, fmt.Errorf("scoring: model %s: %w", name, err)
	}
	if len(l.Booster.Model.Trees) == 0 {
		return nil, fmt.Errorf("scoring: model %s has no trees", name)
	}
	for i := range l.Booster.Model.Trees {
		if err := t.add(&l.Booster.Model.Trees[i], at); err != nil {
			return nil, fmt.Errorf("scoring: model %s, tree %d: %w", name, i, err)
		}
	}
	return t, nil
}

// baseMargin turns base_score, a probability, into log odds. XGBoost 3 writes it in brackets.
func baseMargin(text string) (float32, error) {
	p, err := strconv.ParseFloat(strings.Trim(text, "[]"), 32)
	if err != nil || !(p > 0 && p < 1) {
		return 0, fmt.Errorf("base_score %q: want a probability", text)
	}
	return -float32(math.Log(float64(1/float32(p) - 1))), nil
}

// add appends a tree, and checks that it is one: every node but the root is the child of one other.
func (t *Trees) add(tree *TreeFile, columns []int) error {
	n := len(tree.LeftChildren)
	if n == 0 || len(tree.RightChildren) != n || len(tree.SplitIndices) != n || len(tree.SplitConditions) != n || len(tree.DefaultLeft) != n {
		return fmt.Errorf("lists of %d, %d, %d, %d and %d nodes: want equal ones", n,
			len(tree.RightChildren), len(tree.SplitIndices), len(tree.SplitConditions), len(tree.DefaultLeft))
	}
	offset := int32(len(t.nodes))
	parents := make([]int, n)
	for i := range n {
		left, right := tree.LeftChildren[i], tree.RightChildren[i]
		if left == -1 {
			t.nodes = append(t.nodes, node{threshold: tree.SplitConditions[i], feature: -1})
			continue
		}
		for _, child := range [...]int32{left, right} {
			// XGBoost numbers children above their parents, so there are no circles.
			if child <= int32(i) || child >= int32(n) {
				return fmt.Errorf("node %d has the child %d: want one from %d to %d", i, child, i+1, n-1)
			}
			if parents[child]++; parents[child] > 1 {
				return fmt.Errorf("node %d is the child of two nodes", child)
			}
		}
		feature := tree.SplitIndices[i]
		if feature < 0 || int(feature) >= len(columns) {
			return fmt.Errorf("node %d splits feature %d of %d", i, feature, len(columns))
		}
		if len(tree.SplitType) == n && tree.SplitType[i] != 0 {
			return fmt.Errorf("node %d splits by category, which is not supported", i)
		}
		t.nodes = append(t.nodes, node{
			threshold: tree.SplitConditions[i], feature: int32(columns[feature]),
			left: offset + left, right: offset + right, missingLeft: tree.DefaultLeft[i] != 0,
		})
	}
	t.roots = append(t.roots, offset)
	t.average(offset, tree.SumHessian)
	return nil
}

// average fills in the means of the last tree. Children stand behind their parents. Without weights both children count the same.
func (t *Trees) average(offset int32, weights []float32) {
	if len(weights) != len(t.nodes)-int(offset) {
		weights = nil
	}
	for i := len(t.nodes) - 1; i >= int(offset); i-- {
		n := &t.nodes[i]
		if n.feature < 0 {
			n.mean = n.threshold
			continue
		}
		left, right := float32(1), float32(1)
		if weights != nil {
			left, right = weights[n.left-offset], weights[n.right-offset]
		}
		if sum := left + right; sum > 0 {
			n.mean = (left*t.nodes[n.left].mean + right*t.nodes[n.right].mean) / sum
		}
	}
}

// Name implements Model.
func (t *Trees) Name() string { return t.name }

// Score implements Model, with the arithmetic of XGBoost's CPU predictor: single precision throughout.
func (t *Trees) Score(v *features.Vector) float64 {
	var x [features.Size]float32
	for i, f := range v {
		x[i] = float32(f)
	}
	sum := t.base
	for _, at := range t.roots {
		n := &t.nodes[at]
		for n.feature >= 0 {
			n = &t.nodes[n.child(x[n.feature])]
		}
		sum += n.threshold
	}
	return float64(1 / (float32(math.Exp(float64(-sum))) + 1))
}
