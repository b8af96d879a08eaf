package starter

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"

	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

// BlockedList is the list of cards whose payments are blocked.
const BlockedList = "blocked"

// Lists are those that the rules name.
func Lists() []rulebook.List {
	return []rulebook.List{{Name: BlockedList, Values: []string{generator.BlockedCard}}}
}

// template is a rule for amounts in the unit of the published model. Amounts stand in braces.
type template struct {
	name, condition string
	action          rulebook.Action
	text            string
}

var templates = []template{
	{"blocked-card", `card in lists.blocked`, rulebook.Block, "The card is on the list of blocked ones."},
	{
		"small-then-large", `last_seconds <= 60.0 && last_amount < {2} && amount > {500}`, rulebook.Block,
		"A tiny payment shows that the card works, then comes a large one within a minute.",
	},
	{
		"card-testing", `payments_5m >= 5.0 && last_amount < {2} && amount > {100}`, rulebook.Block,
		"Several tiny payments within minutes, then a larger one.",
	},
	{"card-burst", `payments_5m >= 6.0`, rulebook.Block, "Six payments within five minutes."},
	{"amount-above-limit", `amount > {220}`, rulebook.Review, "A payment that is large for anybody."},
	{
		"amount-above-mean", `CUSTOMER_ID_NB_TX_30DAY_WINDOW >= 10.0 && amount > 3.0 * CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW`, rulebook.Review,
		"Three times what the card pays on average.",
	},
	{"hourly-sum", `amount_1h > {1000}`, rulebook.Review, "A card that pays much within an hour, in whatever parts."},
	{
		"structuring", `payments_1h >= 3.0 && amount > {200} && amount <= {220} && last_amount > {200} && last_amount <= {220}`, rulebook.Review,
		"Several payments that stay just below the limit.",
	},
	{"merchant-burst", `terminal_payments_10m >= 15.0`, rulebook.Review, "Fifteen payments at one terminal within ten minutes."},
	{
		"risky-terminal", `TERMINAL_ID_NB_TX_7DAY_WINDOW >= 3.0 && TERMINAL_ID_RISK_7DAY_WINDOW > 0.5`, rulebook.Review,
		"Most of what the terminal did a week ago turned out to be fraud.",
	},
	{"double-charge", `suspected_double == 1.0`, rulebook.Review, "The same charge again, or nearly the same, within minutes."},
	{"model-sure", `score > 0.9`, rulebook.Block, "The live model is nearly sure of a fraud."},
	{"model-suspects", `score > 0.5`, rulebook.Review, "The live model takes a fraud for likely."},
	{"night-high", `TX_DURING_NIGHT == 1.0 && amount > {170}`, rulebook.Review, "A large payment at night."},
}

var amounts = regexp.MustCompile(`\{(\d+)\}`)

// Rules are the rules in the order of evaluation, live, with their amounts in the currency of a profile; of an empty one, as that of a
// [generator.Config], it is Europe.
func Rules(profile generator.Profile) []rulebook.Rule {
	unit := cmp.Or(profile, generator.Europe).Unit()
	var rules []rulebook.Rule
	for i, t := range templates {
		condition := amounts.ReplaceAllStringFunc(t.condition, func(braced string) string {
			n, _ := strconv.ParseInt(braced[1:len(braced)-1], 10, 64) // digits, by the expression
			return fmt.Sprintf("%d.0", n*unit)
		})
		rules = append(rules, rulebook.Rule{
			Name: t.name, Version: 1, Condition: condition, Action: t.action, Mode: rulebook.Live, Order: 10 * (i + 1), Text: t.text,
		})
	}
	return rules
}
