package quality

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
)

// Scored is a payment with its score.
type Scored struct {
	Day   int // days since 1970, UTC
	Card  string
	Fraud bool
	Score float64
}

// Measures say how well scores find frauds.
type Measures struct {
	Payments int `json:"payments"`
	Frauds   int `json:"frauds"`
	// AUC is the area under the ROC curve: the probability that a fraud scores higher than a genuine payment.
	AUC float64 `json:"auc"`
	// AveragePrecision is the sum of the precisions at each threshold, weighted with the increase of recall.
	AveragePrecision float64 `json:"averagePrecision"`
	// CardPrecision is the mean, over the days, of the share of compromised cards among the 100 with the highest scores.
	CardPrecision float64 `json:"cardPrecision100"`
	// Recall1 and Recall01 are the share of frauds found with one false alarm in 100, and in 1,000, genuine payments.
	Recall1  float64 `json:"recallAt1PercentFalse"`
	Recall01 float64 `json:"recallAt0.1PercentFalse"`
}

// inspected is how many cards an investigator looks at each day.
const inspected = 100

// Measure returns the measures. They are NaN where there are no frauds, or nothing else.
func Measure(payments []Scored) Measures {
	ranked := slices.Clone(payments)
	slices.SortFunc(ranked, func(a, b Scored) int { return cmp.Compare(b.Score, a.Score) })
	m := Measures{Payments: len(ranked)}
	for _, p := range ranked {
		if p.Fraud {
			m.Frauds++
		}
	}
	frauds, genuine := float64(m.Frauds), float64(len(ranked)-m.Frauds)
	if frauds == 0 || genuine == 0 {
		nan := math.NaN()
		m.AUC, m.AveragePrecision, m.CardPrecision, m.Recall1, m.Recall01 = nan, nan, nan, nan, nan
		return m
	}
	found, alarms := 0.0, 0.0 // frauds and genuine payments at or above the threshold
	for first := 0; first < len(ranked); {
		last := first
		foundHere, alarmsHere := 0.0, 0.0
		for ; last < len(ranked) && ranked[last].Score == ranked[first].Score; last++ {
			if ranked[last].Fraud {
				foundHere++
			} else {
				alarmsHere++
			}
		}
		m.AUC += alarmsHere * (found + foundHere/2)
		found, alarms = found+foundHere, alarms+alarmsHere
		m.AveragePrecision += foundHere / frauds * (found / (found + alarms))
		if alarms <= 0.01*genuine {
			m.Recall1 = found / frauds
		}
		if alarms <= 0.001*genuine {
			m.Recall01 = found / frauds
		}
		first = last
	}
	m.AUC /= frauds * genuine
	m.CardPrecision = cardPrecision(payments)
	return m
}

// cardPrecision is Card Precision@100: a card has the highest score of its day and is compromised if any of its payments
// of that day is a fraud. A compromised card that was looked at is blocked: it leaves the following days. Equal scores go by the card's name.
func cardPrecision(payments []Scored) float64 {
	days := make(map[int]map[string]Scored)
	for _, p := range payments {
		cards := days[p.Day]
		if cards == nil {
			cards = make(map[string]Scored)
			days[p.Day] = cards
		}
		c, ok := cards[p.Card]
		if !ok || p.Score > c.Score {
			p.Fraud = p.Fraud || c.Fraud
			c = p
		}
		c.Fraud = c.Fraud || p.Fraud
		cards[p.Card] = c
	}
	blocked := make(map[string]bool)
	sum := 0.0
	for _, day := range slices.Sorted(maps.Keys(days)) {
		var cards []Scored
		for _, c := range days[day] {
			if !blocked[c.Card] {
				cards = append(cards, c)
			}
		}
		slices.SortFunc(cards, func(a, b Scored) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Card, b.Card))
		})
		found := 0
		for _, c := range cards[:min(inspected, len(cards))] {
			if c.Fraud {
				found++
				blocked[c.Card] = true
			}
		}
		sum += float64(found) / inspected
	}
	return sum / float64(len(days))
}
