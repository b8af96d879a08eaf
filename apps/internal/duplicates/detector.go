package duplicates

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

// Verdict says what a payment repeats.
type Verdict string

const (
	Unique   Verdict = "unique"   // nothing
	Exact    Verdict = "exact"    // a payment of the same id and content
	Conflict Verdict = "conflict" // a payment of the same id and other content
	Double   Verdict = "double"   // a payment under another id: same terminal, same amount, within the window
	Near     Verdict = "near"     // the same, with nearly the same amount
)

// Verdicts are all of them, in the order of their definition.
func Verdicts() []Verdict { return []Verdict{Unique, Exact, Conflict, Double, Near} }

// Checked is a payment with its verdict.
type Checked[V any] struct {
	Payment V
	Verdict Verdict
	First   Place // the payment that this one repeats, unless it is unique
}

// Place says where and when a payment was read.
type Place struct {
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"` // of the record
}

// Fields say how to read a payment of type V. All of them are needed.
type Fields[V any] struct {
	// ID names the payment: sent again it has the same. Payments with an empty ID are not compared by it.
	ID func(V) string
	// Terminal is where the payment was made.
	Terminal func(V) string
	// Amount is in minor units, such as cents. Below zero it is a reversal, which takes an earlier charge of the
	// same amount at the same terminal back.
	Amount func(V) int64
	// At is when the payment was made. It may differ from the record's time.
	At func(V) time.Time
}

// Config tunes a detector. The zero value is a working configuration.
type Config struct {
	// Name is the name of the step, and the first part of the names of its two stores. The default is "duplicates".
	Name string
	// TTL is how long after the first payment of an id another one is compared with it, in time of the records: a topic that is
	// keyed by arrival forgets by arrival. Repetitions do not prolong it. The default is 24 h; it
	// must cover the longest stretch that a producer may send again.
	TTL time.Duration
	// Window is how far apart, in time of the payments, two payments under different ids may lie to be doubles. Both ends
	// belong to it. The default is 5 min; a negative value switches the comparison off.
	Window time.Duration
	// NearBasisPoints is by how much two amounts may differ to be nearly the same, in hundredths of a percent of the
	// larger one. The default is 100, which is 1 %; a negative value wants equal amounts.
	NearBasisPoints int64
	// Lateness is how far payments may come out of order, beyond the window, and still be compared. The default is 1 h.
	Lateness time.Duration
	// MaxCharges is how many charges are remembered of a card at one terminal. The oldest ones give way. The default is 1,000.
	MaxCharges int
}

func (c Config) withDefaults() Config {
	if c.Name == "" {
		c.Name = "duplicates"
	}
	if c.TTL == 0 {
		c.TTL = 24 * time.Hour
	}
	if c.Window == 0 {
		c.Window = 5 * time.Minute
	}
	if c.NearBasisPoints == 0 {
		c.NearBasisPoints = 100
	}
	if c.Lateness == 0 {
		c.Lateness = time.Hour
	}
	if c.MaxCharges == 0 {
		c.MaxCharges = 1000
	}
	return c
}

func (c Config) validate() error {
	var errs []error
	if c.TTL < time.Millisecond {
		errs = append(errs, fmt.Errorf("the TTL of ids is %v: want at least 1ms", c.TTL))
	}
	if c.Window > 0 && c.Window < time.Millisecond {
		errs = append(errs, fmt.Errorf("the window is %v: want at least 1ms", c.Window))
	}
	if c.NearBasisPoints > 10_000 {
		errs = append(errs, fmt.Errorf("amounts may differ by %d basis points: want at most 10,000, which is everything", c.NearBasisPoints))
	}
	if c.Lateness < 0 {
		errs = append(errs, fmt.Errorf("the lateness is %v: want 0 or more", c.Lateness))
	}
	if c.MaxCharges < 1 {
		errs = append(errs, fmt.Errorf("%d charges are remembered: want at least 1", c.MaxCharges))
	}
	return errors.Join(errs...)
}

// Detector finds duplicates among payments of type V. It is immutable; use New.
type Detector[V any] struct {
	cfg     Config
	fields  Fields[V]
	ids     state.KeyValueStore[string, first]
	charges state.KeyValueStore[string, charges]
}

// New returns a detector, or an error that names everything that is wrong with its configuration.
func New[V any](cfg Config, fields Fields[V]) (*Detector[V], error) {
	cfg = cfg.withDefaults()
	err := cfg.validate()
	if fields.ID == nil || fields.Terminal == nil || fields.Amount == nil || fields.At == nil {
		err = errors.Join(err, errors.New("a field is nil: want a function for each"))
	}
	if err != nil {
		return nil, fmt.Errorf("duplicates: %w", err)
	}
	return &Detector[V]{
		cfg: cfg, fields: fields,
		ids:     state.NewKeyValueStore(cfg.Name+"-ids", serde.String, serde.Binary[first]()).TTL(cfg.TTL),
		charges: state.NewKeyValueStore(cfg.Name+"-charges", serde.String, serde.Binary[charges]()).TTL(cfg.remember()),
	}, nil
}

// remember is how long a charge can matter. It is what the reference detector of the published figures keeps: another window beyond
// what is needed, so that a reversal still finds its charge.
func (c Config) remember() time.Duration { return 2*max(c.Window, 0) + c.Lateness + time.Millisecond }

// Check adds the verdicts to a stream of payments keyed by card. Order and number of the records stay as they are.
func (d *Detector[V]) Check(payments stream.Stream[string, V]) stream.Stream[string, Checked[V]] {
	return payments.Process(d.cfg.Name, d.process, d.ids, d.charges)
}

func (d *Detector[V]) process(c *stream.Context[string, Checked[V]], r stream.Record[string, V]) error {
	checked, err := d.check(c, r)
	if err != nil {
		return err
	}
	return c.Forward(r.Key, checked)
}

func (d *Detector[V]) check(c state.Context, r stream.Record[string, V]) (Checked[V], error) {
	checked := Checked[V]{Payment: r.Value, Verdict: Unique}
	this := d.read(r)
	earlier, verdict, err := d.byID(c, r.Key, this)
	if err == nil && verdict == Unique && d.cfg.Window > 0 {
		earlier, verdict, err = d.byAmount(c, r.Key, this)
	}
	if err == nil && verdict != Unique {
		checked.Verdict, checked.First = verdict, earlier
	}
	return checked, err
}

// payment is what the detector looks at.
type payment struct {
	id, terminal string
	amount       int64
	at           int64 // milliseconds since 1970
	place        Place
}

func (d *Detector[V]) read(r stream.Record[string, V]) payment {
	return payment{
		id: d.fields.ID(r.Value), terminal: d.fields.Terminal(r.Value), amount: d.fields.Amount(r.Value),
		at: d.fields.At(r.Value).UnixMilli(), place: Place{r.Partition, r.Offset, r.Time},
	}
}

// byID compares a payment with the first one of its id.
func (d *Detector[V]) byID(c state.Context, card string, p payment) (Place, Verdict, error) {
	if p.id == "" {
		return Place{}, Unique, nil
	}
	store, key := d.ids.In(c), joinKey(card, p.id)
	f, found, err := store.Get(key)
	switch {
	case err != nil:
		return Place{}, Unique, err
	case !found:
		return Place{}, Unique, store.Put(key, first{p})
	case p.place.Time.Sub(f.place.Time).Abs() >= d.cfg.TTL:
		// Out of order, and older than the first one by the TTL or more. Remembering it would make the store forget
		// the newer one.
		return Place{}, Unique, nil
	case f.terminal != p.terminal || f.amount != p.amount || f.at != p.at:
		return f.place, Conflict, nil
	}
	return f.place, Exact, nil
}

// byAmount compares a payment with the charges of its card at its terminal, and adds it to them.
func (d *Detector[V]) byAmount(c state.Context, card string, p payment) (Place, Verdict, error) {
	store, key := d.charges.In(c), joinKey(card, p.terminal)
	known, _, err := store.Get(key)
	if err != nil {
		return Place{}, Unique, err
	}
	known.forget(p.at - d.cfg.remember().Milliseconds())
	if p.amount < 0 {
		known.reverse(-p.amount)
		return Place{}, Unique, store.Put(key, known)
	}
	earlier, verdict := known.find(p, d.cfg.Window.Milliseconds(), d.cfg.NearBasisPoints)
	known.add(p, d.cfg.MaxCharges)
	return earlier, verdict, store.Put(key, known)
}
