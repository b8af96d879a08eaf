package rulebook

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"go.yaml.in/yaml/v3"
)

// File is a set of rules and lists as people write it down: YAML, of which JSON is a part. A rule without a mode is live; versions
// are left out, as they grow when the file comes into force.
type File struct {
	Rules []Rule
	Lists []List
}

// maxFileBytes bounds a file of rules.
const maxFileBytes = 32 << 20

// ReadFile reads a file of rules. That its rules compile is for a [Book] to say.
func ReadFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, fmt.Errorf("rulebook: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	switch {
	case err != nil:
		return File{}, fmt.Errorf("rulebook: %w", err)
	case len(b) > maxFileBytes:
		return File{}, fmt.Errorf("rulebook: %s has more than %d bytes", path, maxFileBytes)
	}
	rules, err := ParseFile(b)
	if err != nil {
		return File{}, fmt.Errorf("%w: %s", err, path)
	}
	return rules, nil
}

// ParseFile reads rules and lists, and refuses names that it does not know.
func ParseFile(b []byte) (f File, err error) {
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		return File{}, fmt.Errorf("rulebook: rules: %w", err)
	}
	names := make(map[string]bool)
	for i := range f.Rules {
		r := &f.Rules[i]
		if r.Version != 0 {
			return File{}, fmt.Errorf("rulebook: rule %q: leave the version out: it is given when the rule comes into force", r.Name)
		}
		if names[r.Name] {
			return File{}, fmt.Errorf("rulebook: there are two rules %q", r.Name)
		}
		names[r.Name] = true
		r.Version = 1
		if r.Mode == "" {
			r.Mode = Live
		}
	}
	return f, nil
}
