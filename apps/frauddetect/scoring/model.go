package scoring

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
)

// Model scores payments.
type Model interface {
	// Name is the same in reports, topics and files.
	Name() string
	// Score is between 0 and 1: the higher, the more suspicious.
	Score(*features.Vector) float64
}

// maxModelBytes bounds a model's file.
const maxModelBytes = 64 << 20

// ReadFile reads the file of a model. The model's name is that of the file without "model_" and ".json".
func ReadFile(path string) (name string, file []byte, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", nil, fmt.Errorf("scoring: %w", err)
	}
	if info.Size() > maxModelBytes {
		return "", nil, fmt.Errorf("scoring: %s has %d bytes: want at most %d", path, info.Size(), maxModelBytes)
	}
	if file, err = os.ReadFile(path); err != nil {
		return "", nil, fmt.Errorf("scoring: %w", err)
	}
	return nameOf(filepath.Base(path)), file, nil
}

// Load reads a model from a JSON file (see ReadFile), and recognises its kind.
func Load(path string) (Model, error) {
	name, b, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := Parse(name, b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, path)
	}
	return m, nil
}

// Parse reads a model from JSON.
func Parse(name string, b []byte) (Model, error) {
	var kind struct {
		Learner *struct{} `json:"learner"`
		Weights []float64 `json:"weights"`
		Rules   []any     `json:"rules"`
		Online  *struct{} `json:"online"`
	}
	if err := json.Unmarshal(b, &kind); err != nil {
		return nil, fmt.Errorf("scoring: model %s: %w", name, err)
	}
	switch {
	case kind.Learner != nil:
		return parseTrees(name, b)
	case kind.Weights != nil:
		return parseLogistic(name, b)
	case kind.Rules != nil:
		return parseRules(name, b)
	case kind.Online != nil:
		return parseOnline(name, b)
	}
	return nil, fmt.Errorf(`scoring: model %s has none of "weights" (logistic regression), "learner" (XGBoost), "rules" and "online"`, name)
}

// columns says where a model's features stand in a vector. A model without names has the published ones or all, in their order.
func columns(model string, names []string, count int) ([]int, error) {
	if len(names) == 0 {
		if count != features.Published && count != features.Size {
			return nil, fmt.Errorf("scoring: model %s takes %d features without names: want the %d published ones, or the %d of this program",
				model, count, features.Published, features.Size)
		}
		names = features.Names()[:count]
	}
	if len(names) != count {
		return nil, fmt.Errorf("scoring: model %s names %d features and takes %d", model, len(names), count)
	}
	at := make([]int, count)
	var errs []error
	for i, name := range names {
		if at[i] = slices.Index(features.Names(), name); at[i] < 0 {
			errs = append(errs, fmt.Errorf("scoring: model %s takes the unknown feature %q", model, name))
		}
	}
	return at, errors.Join(errs...)
}
