package features

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

func TestVector(t *testing.T) {
	t.Parallel()
	r := Row{
		Transaction: payment.Transaction{Amount: 57_16, Time: time.Date(2018, 4, 7, 6, 59, 59, 0, time.UTC)}, // a Saturday
		Counts: Counts{
			CardPayments: [3]int64{1, 2, 4}, CardCents: [3]int64{57_16, 60_00, 100_10},
			TerminalPayments: [3]int64{0, 3, 8}, TerminalFrauds: [3]int64{0, 1, 2},
			Usual: Usual{Payments: 3, Cents: 42_94, Largest: 14_36}, CardLargest: 2_84, FraudsInRow: 2, SinceGenuine: 9 * 86_400_000 / 2,
		},
	}
	want := Vector{
		57.16, 1, 1, 1, 57.16, 2, 30, 4, 25.025, 0, 0, 3, 1.0 / 3, 8, 0.25,
		4, 2.84 / 14.29, 2, 4.5,
	}
	if got := r.Vector(); got != want {
		t.Errorf("Vector() = %v, want %v", got, want)
	}
	r.SinceGenuine, want[Size-1] = -1, 37
	if got := r.Vector(); got != want {
		t.Errorf("nothing genuine: Vector() = %v, want %v", got, want)
	}
}

// What a card usually pays leaves out the largest payment, unless it is the only one; without any, every amount is usual.
func TestUsual(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		usual Usual
		want  float64 // of 30
	}{
		{Usual{}, 1},
		{Usual{Payments: 1, Cents: 10_00, Largest: 10_00}, 3},
		{Usual{Payments: 3, Cents: 130_00, Largest: 100_00}, 2},
		{Usual{Payments: 2}, 1}, // of nothing
	} {
		r := Row{Transaction: payment.Transaction{Amount: 30_00}, Counts: Counts{Usual: test.usual}}
		if got := r.Vector()[Published]; got != test.want {
			t.Errorf("30 over the usual of %+v: %v, want %v", test.usual, got, test.want)
		}
	}
}

// The weekend is Saturday and Sunday; the night ends with the hour that begins at six.
func TestWeekendAndNight(t *testing.T) {
	t.Parallel()
	tests := []struct {
		time           string
		weekend, night float64
	}{
		{"2018-04-06T23:59:59Z", 0, 0}, // Friday
		{"2018-04-07T00:00:00Z", 1, 1},
		{"2018-04-08T23:59:59Z", 1, 0},
		{"2018-04-09T06:59:59Z", 0, 1},
		{"2018-04-09T07:00:00Z", 0, 0},
	}
	for _, test := range tests {
		at, err := time.Parse(time.RFC3339, test.time)
		if err != nil {
			t.Fatal(err)
		}
		r := Row{Transaction: payment.Transaction{Time: at}}
		if v := r.Vector(); v[1] != test.weekend || v[2] != test.night {
			t.Errorf("%s: weekend %v, night %v, want %v, %v", test.time, v[1], v[2], test.weekend, test.night)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	want := []string{
		"TX_AMOUNT", "TX_DURING_WEEKEND", "TX_DURING_NIGHT",
		"CUSTOMER_ID_NB_TX_1DAY_WINDOW", "CUSTOMER_ID_AVG_AMOUNT_1DAY_WINDOW",
		"CUSTOMER_ID_NB_TX_7DAY_WINDOW", "CUSTOMER_ID_AVG_AMOUNT_7DAY_WINDOW",
		"CUSTOMER_ID_NB_TX_30DAY_WINDOW", "CUSTOMER_ID_AVG_AMOUNT_30DAY_WINDOW",
		"TERMINAL_ID_NB_TX_1DAY_WINDOW", "TERMINAL_ID_RISK_1DAY_WINDOW",
		"TERMINAL_ID_NB_TX_7DAY_WINDOW", "TERMINAL_ID_RISK_7DAY_WINDOW",
		"TERMINAL_ID_NB_TX_30DAY_WINDOW", "TERMINAL_ID_RISK_30DAY_WINDOW",
		"TX_AMOUNT_OVER_USUAL", "CUSTOMER_ID_LARGEST_14DAY_OVER_USUAL", "TERMINAL_ID_FRAUDS_IN_A_ROW", "TERMINAL_ID_DAYS_SINCE_GENUINE",
	}
	if diff := cmp.Diff(want, Names()); diff != "" {
		t.Errorf("Names() (-want +got):\n%s", diff)
	}
}

func drawRow(t *rapid.T) Row {
	r := Row{
		Transaction: payment.Transaction{
			ID: rapid.Int64().Draw(t, "id"), Time: time.UnixMilli(rapid.Int64Range(0, 1<<45).Draw(t, "time")).UTC(),
			Card: rapid.String().Draw(t, "card"), Terminal: rapid.String().Draw(t, "terminal"),
			Amount: payment.Cents(rapid.Int64().Draw(t, "amount")), Scenario: rapid.Int8().Draw(t, "scenario"),
		},
	}
	r.numbers(func(n *int64) { *n = rapid.Int64().Draw(t, "count") })
	return r
}

func TestRowEncoding(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		want := drawRow(t)
		b, err := want.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Row
		if err := got.UnmarshalBinary(b); err != nil || got != want {
			t.Fatalf("%+v, %v, want %+v", got, err, want)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if err := got.UnmarshalBinary(b[:cut]); !errors.Is(err, ErrRow) {
			t.Fatalf("the first %d of %d bytes: %v, want ErrRow", cut, len(b), err)
		}
		if err := got.UnmarshalBinary(append(b, 0)); !errors.Is(err, ErrRow) {
			t.Fatalf("a byte more: %v, want ErrRow", err)
		}
	})
}

func FuzzRow(f *testing.F) {
	b, err := (&Row{Transaction: payment.Transaction{ID: 7, Card: "card", Terminal: "terminal"}}).AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Row
		if r.UnmarshalBinary(b) != nil {
			return
		}
		var again Row
		if b, err := r.AppendBinary(nil); err != nil || again.UnmarshalBinary(b) != nil || again != r {
			t.Errorf("%+v is read again as %+v (%v)", r, again, err)
		}
	})
}
