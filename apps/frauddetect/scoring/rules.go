package scoring

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"sync"

	"github.com/riffle-stream/riffle/apps/frauddetect/features"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

// Rules score a payment by conditions: the score is the highest of those that hold, 0 if none does.
type Rules struct {
	name  string
	rules []scoringRule
}

type scoringRule struct {
	condition *rulebook.Condition
	score     float64
}

// RulesFile is the JSON form of Rules. Conditions are CEL over the features, as TX_AMOUNT > 220.
type RulesFile struct {
	Rules []struct {
		Condition string  `json:"condition"`
		Score     float64 `json:"score"`
	} `json:"rules"`
}

// maxScoringRules bounds the cost of a score.
const maxScoringRules = 50

// featureSchema has the features alone.
var featureSchema = sync.OnceValues(func() (*rulebook.Schema, error) { return rulebook.NewSchema(features.Names()...) })

func parseRules(name string, b []byte) (*Rules, error) {
	var file RulesFile
	if err := json.Unmarshal(b, &file); err != nil {
		return nil, fmt.Errorf("scoring: model %s: %w", name, err)
	}
	if n := len(file.Rules); n == 0 || n > maxScoringRules {
		return nil, fmt.Errorf("scoring: model %s has %d rules: want 1 to %d", name, n, maxScoringRules)
	}
	schema, err := featureSchema()
	if err != nil {
		return nil, err
	}
	m := &Rules{name: name}
	var errs []error
	for i, r := range file.Rules {
		c, err := schema.Condition(r.Condition)
		if err == nil && !(r.Score >= 0 && r.Score <= 1) {
			err = fmt.Errorf("score %v: want 0 to 1", r.Score)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("scoring: model %s, rule %d: %w", name, i+1, err))
		}
		m.rules = append(m.rules, scoringRule{c, r.Score})
	}
	return m, errors.Join(errs...)
}

// Name implements Model.
func (m *Rules) Name() string { return m.name }

// Score implements Model. A condition that cannot be evaluated does not hold.
func (m *Rules) Score(v *features.Vector) (score float64) {
	p := rulebook.Payment{Amount: v[0], Features: v[:]}
	for _, r := range m.rules {
		if r.score <= score {
			continue
		}
		if holds, err := r.condition.Holds(&p); err == nil && holds {
			score = r.score
		}
	}
	return score
}
