package scoring

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed models/model_*.json
var shipped embed.FS

// Shipped returns the models that come with the program: logistic regression and trees, trained on made-up payments by
//
//	frauddetect train --generate 75 --days 30 --seed 1 --out apps/frauddetect/scoring/models
func Shipped() ([]Model, error) {
	entries, err := shipped.ReadDir("models")
	if err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	var models []Model
	for _, e := range entries {
		b, err := shipped.ReadFile(path.Join("models", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("scoring: %w", err)
		}
		m, err := Parse(nameOf(e.Name()), b)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	return models, nil
}

// nameOf is the name of the model in a file.
func nameOf(file string) string {
	return strings.TrimPrefix(strings.TrimSuffix(file, ".json"), "model_")
}
