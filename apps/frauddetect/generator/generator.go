package generator

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

// The constants of the published model.
const (
	gridSize             = 100.0
	secondsPerDay        = 86400
	noon                 = 43200 // mean of the time of day, seconds
	timeSpread           = 20000 // its standard deviation, seconds
	maxMeanPerDay        = 4     // payments of one customer
	minMeanAmount        = 5.0
	maxMeanAmount        = 100.0
	largeAmountCents     = 22000 // scenario 1 is above
	terminalsPerDay      = 2     // scenario 2
	terminalDays         = 28
	cardsPerDay          = 3 // scenario 3
	cardDays             = 14
	cardFactor           = 5
	scenarioLargeAmount  = 1
	scenarioTerminal     = 2
	scenarioCard         = 3
	maxReachable         = 50_000_000 // customer-terminal pairs kept in memory: 200 MB
	firstDay             = "2018-04-01"
	defaultCustomerCount = 5_000
	defaultTerminalCount = 10_000
)

// Config says what is generated. The zero value is the published data set's size: some 9,600 payments a day,
// 0.84 % of them frauds.
type Config struct {
	// Seed selects the random numbers.
	Seed uint64
	// Customers and Terminals are counts. The defaults are 5,000 and 10,000. Three customers leak and two
	// terminals are compromised each day whatever their number, so more customers mean a smaller share of frauds.
	Customers, Terminals int
	// Radius is how far from a customer a terminal may be, on a grid of 100 by 100. The default is 5.
	Radius float64
	// Start is the first day, UTC. The default is 2018-04-01.
	Start time.Time
	// Profile is where the payments are made: it says what amounts are like, and what terminals are called. The default is Europe.
	Profile Profile
	// Cases is how many cases of each kind in Kinds are planted a day, for rules to find. The default is 0.
	Cases int
}

func (c Config) withDefaults() Config {
	if c.Customers == 0 {
		c.Customers = defaultCustomerCount
	}
	if c.Terminals == 0 {
		c.Terminals = defaultTerminalCount
	}
	if c.Radius == 0 {
		c.Radius = 5
	}
	if c.Profile == "" {
		c.Profile = Europe
	}
	if c.Start.IsZero() {
		c.Start, _ = time.Parse(time.DateOnly, firstDay)
	}
	c.Start = c.Start.UTC().Truncate(24 * time.Hour)
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.Customers < 1 {
		errs = append(errs, fmt.Errorf("generator: %d customers: want at least 1", c.Customers))
	}
	if c.Terminals < 1 {
		errs = append(errs, fmt.Errorf("generator: %d terminals: want at least 1", c.Terminals))
	}
	if _, ok := profiles[c.Profile]; !ok {
		errs = append(errs, fmt.Errorf("generator: profile %q: want %s or %s", c.Profile, Europe, Korea))
	}
	if c.Cases < 0 || c.Cases > maxCases {
		errs = append(errs, fmt.Errorf("generator: %d cases of each kind a day: want 0 to %d", c.Cases, maxCases))
	}
	if !(c.Radius > 0) {
		errs = append(errs, fmt.Errorf("generator: radius %v: want more than 0", c.Radius))
	}
	near := min(1, math.Pi*c.Radius*c.Radius/(gridSize*gridSize))
	if pairs := float64(c.Customers) * float64(c.Terminals) * near; pairs > maxReachable {
		errs = append(errs, fmt.Errorf("generator: %d customers with some %.0f terminals in reach: want at most %d pairs; have fewer of them, or a smaller radius",
			c.Customers, float64(c.Terminals)*near, maxReachable))
	}
	return errors.Join(errs...)
}

// Generator makes payments in order of time.
type Generator struct {
	cfg       Config
	customers []customer // and behind them the card that is blocked
	names     []string   // of the terminals

	// days holds the rows of today and the days after it that a card leaking today can reach.
	days     [][]row
	next     int       // next row of days[0]
	day      int       // number of days[0]
	midnight time.Time // its start
	id       int64     // id of the next payment
}

// customer is one card holder.
type customer struct {
	card      string
	reach     []string // terminals
	reachIDs  []int32
	meanCents float64
	none      float64 // probability of a day without a payment: e to the minus mean
}

// row is one payment before it gets an id.
type row struct {
	second   int32 // of its day
	customer int32
	terminal int32 // index in the customer's reach; below zero -1 - number, of any terminal
	scenario int8
	cents    int64
}

// New returns a generator that stands before its first payment.
func New(cfg Config) (*Generator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	names := cfg.Profile.terminals(cfg.Terminals)
	g := &Generator{cfg: cfg, customers: newCustomers(cfg, names), names: names, day: -1}
	if !slices.ContainsFunc(g.customers, func(c customer) bool { return len(c.reach) > 0 }) {
		return nil, fmt.Errorf("generator: no terminal is within %v of any customer: have more terminals, or a larger radius", cfg.Radius)
	}
	g.customers = append(g.customers, customer{card: BlockedCard})
	for d := range cardDays - 1 {
		g.days = append(g.days, g.makeDay(d))
	}
	g.advance()
	return g, nil
}

// Config returns the configuration with the defaults filled in.
func (g *Generator) Config() Config { return g.cfg }

// Next returns the next payment. There is always one.
func (g *Generator) Next() payment.Transaction {
	for g.next == len(g.days[0]) {
		g.days = g.days[1:]
		g.advance()
	}
	r := g.days[0][g.next]
	g.next++
	c := &g.customers[r.customer]
	t := payment.Transaction{
		ID:       g.id,
		Time:     g.midnight.Add(time.Duration(r.second) * time.Second),
		Card:     c.card,
		Terminal: g.terminal(c, r),
		Amount:   g.cfg.Profile.amount(r.cents),
		Scenario: r.scenario,
	}
	g.id++
	return t
}

func (g *Generator) terminal(c *customer, r row) string {
	if r.terminal < 0 {
		return g.names[-1-r.terminal]
	}
	return c.reach[r.terminal]
}

// advance makes the farthest day that cards leaking today can reach, then lets them leak: from then on
// nothing changes today's rows any more.
func (g *Generator) advance() {
	g.day++
	g.next = 0
	g.midnight = g.cfg.Start.AddDate(0, 0, g.day)
	g.days = append(g.days, g.makeDay(g.day+cardDays-1))
	g.leakCards()
}

// makeDay makes the payments of a day with the frauds of scenarios 1 and 2.
func (g *Generator) makeDay(day int) []row {
	random := g.random(streamPayments, day)
	compromised := g.compromised(day)
	rows := make([]row, 0, len(g.customers)*maxMeanPerDay/2)
	for i := range g.customers {
		c := &g.customers[i]
		if len(c.reach) == 0 {
			continue
		}
		for range poisson(random, c.none) {
			second := int32(random.NormFloat64()*timeSpread + noon)
			if second <= 0 || second >= secondsPerDay {
				continue
			}
			r := row{second: second, customer: int32(i), terminal: random.Int32N(int32(len(c.reach))), cents: c.amount(random)}
			if r.cents > largeAmountCents {
				r.scenario = scenarioLargeAmount
			}
			if compromised[c.reachIDs[r.terminal]] {
				r.scenario = scenarioTerminal
			}
			rows = append(rows, r)
		}
	}
	rows = g.plant(rows, day)
	slices.SortFunc(rows, func(a, b row) int {
		if a.second != b.second {
			return int(a.second - b.second)
		}
		// The order must be total, or it would depend on the sort.
		return cmp.Or(int(a.customer-b.customer), int(a.terminal-b.terminal), cmp.Compare(a.cents, b.cents))
	})
	return rows
}

// compromised tells by number at which terminals every payment of a day is fraud.
func (g *Generator) compromised(day int) []bool {
	terminals := make([]bool, g.cfg.Terminals)
	for d := max(0, day-terminalDays+1); d <= day; d++ {
		random := g.random(streamTerminals, d)
		for range terminalsPerDay {
			terminals[random.Int32N(int32(g.cfg.Terminals))] = true
		}
	}
	return terminals
}

// leakCards plants scenario 3 for the cards that leak today.
func (g *Generator) leakCards() {
	random := g.random(streamCards, g.day)
	for range cardsPerDay {
		leaked := random.Int32N(int32(g.cfg.Customers))
		var rows []*row
		for _, day := range g.days {
			for i := range day {
				if day[i].customer == leaked && day[i].scenario < firstKind {
					rows = append(rows, &day[i])
				}
			}
		}
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for _, r := range rows[:len(rows)/3] {
			r.cents *= cardFactor
			r.scenario = scenarioCard
		}
	}
}

// amount draws the amount of one payment, in cents.
func (c *customer) amount(random *rand.Rand) int64 {
	cents := random.NormFloat64()*c.meanCents/2 + c.meanCents
	if cents < 0 {
		cents = random.Float64() * 2 * c.meanCents
	}
	return int64(math.Round(cents))
}

// The streams of random numbers: each purpose and day has its own, so that days can be made in any order.
const (
	streamCustomers = iota
	streamPositions
	streamPayments
	streamTerminals
	streamCards
	streamCases
	streamArrivals
)

func (g *Generator) random(stream, day int) *rand.Rand { return newRandom(g.cfg.Seed, stream, day) }

func newRandom(seed uint64, stream, day int) *rand.Rand {
	return rand.New(rand.NewPCG(seed, uint64(day)<<8|uint64(stream)))
}

// poisson draws from a Poisson distribution by Knuth's method, which suits the small means here. It takes the
// probability of 0.
func poisson(random *rand.Rand, none float64) (n int) {
	for p := random.Float64(); p > none; p *= random.Float64() {
		n++
	}
	return n
}

// newCustomers draws the customers and finds the terminals in their reach. The terminals lie in square cells as
// wide as the radius, so that only a customer's own and the neighbouring cells need a look.
func newCustomers(cfg Config, names []string) []customer {
	type terminal struct {
		x, y float64
		id   int32
	}
	random := newRandom(cfg.Seed, streamPositions, 0)
	width := int(math.Ceil(gridSize/cfg.Radius)) + 1
	cell := func(v float64) int { return int(v / cfg.Radius) }
	cells := make(map[int][]terminal)
	for i := range cfg.Terminals {
		t := terminal{random.Float64() * gridSize, random.Float64() * gridSize, int32(i)}
		at := cell(t.y)*width + cell(t.x)
		cells[at] = append(cells[at], t)
	}
	random = newRandom(cfg.Seed, streamCustomers, 0)
	customers := make([]customer, cfg.Customers)
	for i := range customers {
		c := &customers[i]
		x, y := random.Float64()*gridSize, random.Float64()*gridSize
		c.card = strconv.Itoa(i)
		c.meanCents = 100 * (minMeanAmount + random.Float64()*(maxMeanAmount-minMeanAmount))
		c.none = math.Exp(-random.Float64() * maxMeanPerDay)
		for row := max(0, cell(y)-1); row <= cell(y)+1; row++ {
			for column := max(0, cell(x)-1); column <= min(width-1, cell(x)+1); column++ {
				for _, t := range cells[row*width+column] {
					if math.Hypot(t.x-x, t.y-y) < cfg.Radius {
						c.reach = append(c.reach, names[t.id])
						c.reachIDs = append(c.reachIDs, t.id)
					}
				}
			}
		}
	}
	return customers
}
