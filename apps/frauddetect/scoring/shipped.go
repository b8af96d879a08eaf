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
	files, err := ShippedFiles()
	if err != nil {
		return nil, err
	}
	var models []Model
	for _, f := range files {
		m, err := Parse(f.Name, f.JSON)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	return models, nil
}

// File is a model as it is written.
type File struct {
	Name string
	JSON []byte
}

// ShippedFiles are the files of the models that Shipped returns, by name.
func ShippedFiles() ([]File, error) {
	entries, err := shipped.ReadDir("models")
	if err != nil {
		return nil, fmt.Errorf("scoring: %w", err)
	}
	var files []File
	for _, e := range entries {
		b, err := shipped.ReadFile(path.Join("models", e.Name()))
		if err != nil {
			return nil, fmt.Errorf("scoring: %w", err)
		}
		files = append(files, File{nameOf(e.Name()), b})
	}
	return files, nil
}

// nameOf is the name of the model in a file.
func nameOf(file string) string {
	return strings.TrimPrefix(strings.TrimSuffix(file, ".json"), "model_")
}
