package generator

import "math/rand/v2"

// Kind is a kind of planted case: payments that one of the starter rules is about. It is the scenario of their payments.
type Kind int8

// firstKind is behind the scenarios of the published model.
const firstKind = 11

const (
	SmallThenLarge  Kind = firstKind + iota // less than 2, within a minute 600 or more
	CardBurst                               // six payments within four minutes
	CardTesting                             // four payments of less than 2 within three minutes, then one of 120 or more
	HourlySum                               // seven payments of 160 within an hour
	MerchantBurst                           // twenty cards at one terminal within eight minutes
	DoubleCharge                            // the same card, terminal and amount within two minutes
	Structuring                             // four payments just below the limit of 220 within an hour
	NightHigh                               // 180 or more between one and five o'clock
	BlockedListCard                         // a payment by BlockedCard
)

// Kinds are all of them with their names.
func Kinds() map[Kind]string {
	return map[Kind]string{
		SmallThenLarge: "small-then-large", CardBurst: "card-burst", CardTesting: "card-testing", HourlySum: "hourly-sum",
		MerchantBurst: "merchant-burst", DoubleCharge: "double-charge", Structuring: "structuring", NightHigh: "night-high",
		BlockedListCard: "blocked-card",
	}
}

// BlockedCard is the card of the cases of BlockedListCard.
const BlockedCard = "blocked-1"

// maxCases bounds the cases of each kind a day: each has up to 20 payments.
const maxCases = 1000

// plant adds a day's cases. They have random numbers of their own: the other payments are the same without them.
func (g *Generator) plant(rows []row, day int) []row {
	if g.cfg.Cases == 0 {
		return rows
	}
	p := planter{Generator: g, random: g.random(streamCases, day), rows: rows}
	for range g.cfg.Cases {
		for kind := Kind(firstKind); kind <= BlockedListCard; kind++ {
			p.kind = kind
			p.plant()
		}
	}
	return p.rows
}

// planter adds the payments of cases.
type planter struct {
	*Generator
	random *rand.Rand
	kind   Kind
	rows   []row
}

func (p *planter) plant() {
	c, at := p.customer(), p.between(8*3600, 20*3600)
	shop := p.random.Int32N(int32(len(p.customers[c].reach)))
	switch p.kind {
	case SmallThenLarge:
		p.pay(c, shop, at, p.between(50, 199))
		p.pay(c, shop, at+p.between(5, 55), p.between(600_00, 900_00))
	case CardBurst:
		for i := range int32(6) {
			p.pay(c, p.random.Int32N(int32(len(p.customers[c].reach))), at+i*45+p.between(0, 10), p.between(5_00, 60_00))
		}
	case CardTesting:
		for i := range int32(4) {
			p.pay(c, shop, at+i*40+p.between(0, 10), p.between(50, 199))
		}
		p.pay(c, shop, at+4*40+p.between(0, 10), p.between(120_00, 200_00))
	case HourlySum:
		for i := range int32(7) {
			p.pay(c, p.random.Int32N(int32(len(p.customers[c].reach))), at+i*500, 160_00)
		}
	case MerchantBurst:
		terminal := -1 - p.customers[c].reachIDs[shop]
		for i := range int32(20) {
			p.pay(p.customer(), terminal, at+i*24, p.between(5_00, 60_00))
		}
	case DoubleCharge:
		cents := p.between(10_00, 90_00)
		p.pay(c, shop, at, cents)
		p.pay(c, shop, at+p.between(10, 110), cents)
	case Structuring:
		for i := range int32(4) {
			p.pay(c, shop, at+i*700, p.between(201_00, 219_00))
		}
	case NightHigh:
		p.pay(c, shop, p.between(3600, 5*3600), p.between(180_00, 210_00))
	case BlockedListCard:
		p.pay(int32(p.cfg.Customers), -1-p.customers[c].reachIDs[shop], at, p.between(5_00, 60_00))
	}
}

// customer draws one with a terminal in reach, of which there is at least one.
func (p *planter) customer() int32 {
	for {
		if c := p.random.Int32N(int32(p.cfg.Customers)); len(p.customers[c].reach) > 0 {
			return c
		}
	}
}

// between draws from [least, most].
func (p *planter) between(least, most int32) int32 { return least + p.random.Int32N(most-least+1) }

func (p *planter) pay(customer, terminal, second, cents int32) {
	p.rows = append(p.rows, row{second: second, customer: customer, terminal: terminal, scenario: int8(p.kind), cents: int64(cents)})
}
