package quota

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// The most specific entity counts, in Kafka's order, and who shares it.
func TestShare(t *testing.T) {
	t.Parallel()
	alice, app := Named("alice"), Named("app")
	// From the most general to the most specific: each step takes over.
	table := NewTable(nil)
	for i, step := range []struct {
		entity Entity
		shared Entity
	}{
		{Entity{ClientID: Default}, Entity{ClientID: app}},
		{Entity{ClientID: app}, Entity{ClientID: app}},
		{Entity{User: Default}, Entity{User: alice}},
		{Entity{Default, Default}, Entity{alice, app}},
		{Entity{Default, app}, Entity{alice, app}},
		{Entity{User: alice}, Entity{User: alice}},
		{Entity{alice, Default}, Entity{alice, app}},
		{Entity{alice, app}, Entity{alice, app}},
	} {
		table = table.With(step.entity, Limits{Produce: float64(i + 1)})
		want := Share{Produce, float64(i + 1), step.shared}
		if got, ok := table.Share(Produce, "alice", "app"); !ok || got != want {
			t.Errorf("with %+v: %+v, %v, want %+v", step.entity, got, ok, want)
		}
		if got, ok := table.Share(Fetch, "alice", "app"); ok {
			t.Errorf("with %+v: fetching is limited: %+v", step.entity, got)
		}
	}
	if table.Len() != 8 || len(table.Entities()) != 8 {
		t.Errorf("%d entities, %v", table.Len(), table.Entities())
	}
	table = table.With(Entity{alice, app}, Limits{})
	if got, _ := table.Share(Produce, "alice", "app"); table.Len() != 7 || got.Rate != 7 {
		t.Errorf("without the last: %d entities, rate %v", table.Len(), got.Rate)
	}
	if _, ok := NewTable(nil).Share(Produce, "alice", "app"); ok {
		t.Error("an empty table limits")
	}
	// A name that is empty is a name, and not the default.
	if _, ok := NewTable(nil).With(Entity{User: alice}, Limits{Fetch: 1}).Share(Fetch, "", ""); ok {
		t.Error("nobody is limited as alice")
	}
}

// Savings are spent first, then each byte costs time; a pause pays off.
func TestMeter(t *testing.T) {
	t.Parallel()
	m := NewMeter(MeterConfig{Window: 2 * time.Second, MaxPause: 5 * time.Second})
	s := Share{Produce, 100, Entity{User: Named("alice")}}
	now := time.Unix(1000, 0)
	for _, step := range []struct {
		after time.Duration
		bytes int
		want  time.Duration
	}{
		{0, 150, 0},
		{0, 50, 0}, // the window is used up
		{0, 50, 500 * time.Millisecond},
		{0, 50, time.Second},
		{time.Second, 0, 0},
		{time.Second, 100, 0},
		{time.Hour, 200, 0}, // no more is saved than a window
		{0, 1, 10 * time.Millisecond},
		{0, 10_000, 5 * time.Second}, // a pause has an end, the debt stays
		{5 * time.Second, 0, 5 * time.Second},
		{-time.Hour, 0, 5 * time.Second}, // a clock that goes back forgives nothing
	} {
		now = now.Add(step.after)
		if got := m.Count(s, float64(step.bytes), now); got.Round(time.Millisecond) != step.want {
			t.Errorf("%v later, %d bytes: pause %v, want %v", step.after, step.bytes, got, step.want)
		}
	}
	other := s
	other.Kind = Fetch
	if got := m.Count(other, 200, now); got != 0 {
		t.Errorf("fetching pauses %v for what was produced", got)
	}
}

// A client that keeps its pauses is as fast as it may, and not faster.
func TestMeterModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := float64(rapid.IntRange(1, 1_000_000).Draw(t, "rate"))
		m := NewMeter(MeterConfig{Window: time.Second, MaxPause: time.Hour})
		s := Share{Fetch, rate, Entity{ClientID: Named("c")}}
		start := time.Unix(1000, 0)
		now, sum, last := start, 0.0, 0.0
		for range rapid.IntRange(2, 50).Draw(t, "requests") {
			last = float64(rapid.IntRange(1, int(rate)+1).Draw(t, "bytes"))
			sum += last
			now = now.Add(m.Count(s, last, now) + time.Duration(rapid.IntRange(0, 10).Draw(t, "idle ms"))*time.Millisecond)
		}
		if most := rate*(now.Sub(start).Seconds()+1) + 1; sum > most+rate*1e-6*50 {
			t.Fatalf("%v bytes in %v, at most %v are allowed", sum, now.Sub(start), most)
		}
	})
}

// A percent is a hundredth of a thread's time.
func TestWork(t *testing.T) {
	t.Parallel()
	m, now := NewMeter(MeterConfig{Window: 2 * time.Second}), time.Unix(1000, 0)
	s := Share{Request, 5, Entity{User: Named("alice")}}
	if pause := m.Count(s, Work(100*time.Millisecond), now); pause != 0 {
		t.Errorf("a tenth of a second, all that two seconds give: pause %v", pause)
	}
	if pause := m.Count(s, Work(20*time.Millisecond), now); pause.Round(time.Microsecond) != 400*time.Millisecond {
		t.Errorf("a fifth of that: pause %v, want 0.4s", pause)
	}
	if pause := m.Count(s, Work(time.Second), now); pause != time.Second {
		t.Errorf("a second: pause %v, want one second, the longest", pause)
	}
}

// What is remembered has an end.
func TestMeterForgets(t *testing.T) {
	t.Parallel()
	m := NewMeter(MeterConfig{MaxShares: 3})
	for i := range 100 {
		m.Count(Share{Produce, 1, Entity{ClientID: Named(string(rune('a' + i)))}}, 1000, time.Unix(1000, 0))
		if len(m.shares) > 3 {
			t.Fatalf("%d shares are remembered", len(m.shares))
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	if (Entity{}).Validate() == nil || (Entity{User: Default}).Validate() != nil {
		t.Error("entities are not told apart")
	}
	for _, rate := range []float64{-1, math.NaN(), math.Inf(1)} {
		if (Limits{Produce: rate}).Validate() == nil {
			t.Errorf("a rate of %v is taken", rate)
		}
	}
	if k, ok := ParseKind("consumer_byte_rate"); !ok || k != Fetch {
		t.Errorf("ParseKind = %v, %v", k, ok)
	}
	if _, ok := ParseKind("controller_mutation_rate"); ok {
		t.Error("controller_mutation_rate is not enforced")
	}
	a := NewTable(map[Entity]Limits{{User: Default}: {Fetch: 1}, {User: Named("a")}: {}})
	if diff := cmp.Diff([]Entity{{User: Default}}, a.Entities()); diff != "" {
		t.Error(diff)
	}
}
