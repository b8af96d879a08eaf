package rules

import (
	"encoding/json/v2"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
)

var epoch = time.Date(2018, 4, 1, 0, 0, 0, 0, time.UTC)

// TestScripts runs the payments of one card through the rules. The commands:
//
//	rules [limit=C] [mean-factor=F] [mean-payments=N] [burst-payments=N] [lateness=D] [max-payments=N]
//	    sets the thresholds, or prints why they make no sense
//	pay       payments, one a line: T AMOUNT, made T after the epoch; prints the alerts
//	json      prints the last alert as JSON
//	history   prints what is remembered
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "fuzz") || strings.Contains(path, "rapid") {
			return
		}
		s := script{rules: Rules{}.WithDefaults()}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	rules  Rules
	past   History
	offset int64
	last   Alert
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "rules":
		return s.setRules(t, d)
	case "pay":
		var out strings.Builder
		for line := range strings.Lines(d.Input) {
			s.pay(t, &out, strings.Fields(line))
		}
		return out.String()
	case "history":
		var out strings.Builder
		for past := range s.past.all {
			fmt.Fprintf(&out, "%v @%d %v\n", time.UnixMilli(past.Millis).Sub(epoch), past.Offset, payment.Cents(past.Cents))
		}
		return out.String()
	case "json":
		b, err := json.Marshal(s.last)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
		return ""
	}
}

func (s *script) setRules(t *testing.T, d *datadriven.TestData) string {
	for _, arg := range d.CmdArgs {
		value, err := strconv.ParseFloat(arg.Vals[0], 64)
		switch arg.Key {
		case "limit":
			s.rules.Limit, err = payment.ParseCents([]byte(arg.Vals[0]))
		case "mean-factor":
			s.rules.MeanFactor = value
		case "mean-payments":
			s.rules.MeanPayments = int(value)
		case "burst-payments":
			s.rules.BurstPayments = int(value)
		case "max-payments":
			s.rules.MaxPayments = int(value)
		case "lateness":
			s.rules.Lateness, err = time.ParseDuration(arg.Vals[0])
		default:
			t.Fatalf("%s: unknown argument %s", d.Pos, arg.Key)
		}
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
	}
	s.rules = s.rules.WithDefaults()
	if err := s.rules.Validate(); err != nil {
		return err.Error()
	}
	return "ok"
}

func (s *script) pay(t *testing.T, out *strings.Builder, fields []string) {
	after, err := time.ParseDuration(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	amount, err := payment.ParseCents([]byte(fields[1]))
	if err != nil {
		t.Fatal(err)
	}
	tx := payment.Transaction{ID: s.offset, Time: epoch.Add(after), Card: "7", Terminal: "t", Amount: amount}
	from := Source{"transactions", 3, s.offset}
	s.offset++
	var alerts []Alert
	if s.rules.TooLarge(tx) {
		alerts = append(alerts, s.rules.LimitAlert(tx, from))
	}
	for _, a := range append(alerts, s.rules.Habits(&s.past, tx, from)...) {
		fmt.Fprintln(out, a)
		s.last = a
	}
}

// The rules on the compact history find what they find on a plain list of all payments ever made.
func TestHabitsAgreeWithPlainList(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := Rules{
			MeanWindow: 100 * time.Second, MeanPayments: rapid.IntRange(1, 4).Draw(t, "mean payments"),
			BurstWindow: 10 * time.Second, BurstPayments: rapid.IntRange(2, 4).Draw(t, "burst payments"),
			Lateness: 5 * time.Second, MaxPayments: 1000,
		}.WithDefaults()
		var history History
		var list []Past
		now := int64(1_000_000)
		for offset := range rapid.Int64Range(1, 80).Draw(t, "payments") {
			now += rapid.Int64Range(0, 30_000).Draw(t, "gap")
			p := Past{now - rapid.Int64Range(0, 4_999).Draw(t, "late"), offset * 3, rapid.Int64Range(0, 10_000).Draw(t, "cents")}
			tx := payment.Transaction{Time: time.UnixMilli(p.Millis), Amount: payment.Cents(p.Cents)}

			var got []string
			for _, a := range r.Habits(&history, tx, Source{Offset: p.Offset}) {
				got = append(got, fmt.Sprint(a.Rule, a.Payments, a.Mean, a.Records.Offsets))
			}
			if diff := cmp.Diff(plainHabits(r, list, p), got); diff != "" {
				t.Fatalf("payment %+v after %+v (-want +got)\n%s", p, list, diff)
			}
			list = insertByTime(list, p)

			b, err := history.AppendBinary(nil)
			if err != nil {
				t.Fatal(err)
			}
			history = History{}
			if err := history.UnmarshalBinary(b); err != nil {
				t.Fatalf("history of %+v does not read back: %v", list, err)
			}
		}
	})
}

// plainHabits is too simple to be wrong.
func plainHabits(r Rules, list []Past, p Past) (alerts []string) {
	window := func(until int64, size time.Duration) (in []Past) {
		for _, past := range list {
			if past.Millis > until-size.Milliseconds() && past.Millis <= until {
				in = append(in, past)
			}
		}
		return in
	}
	offsets := func(in []Past) (all []int64) {
		for _, past := range in {
			all = append(all, past.Offset)
		}
		return append(all, p.Offset)
	}
	habit, sum := window(p.Millis, r.MeanWindow), int64(0)
	for _, past := range habit {
		sum += past.Cents
	}
	if n := int64(len(habit)); len(habit) >= r.MeanPayments && p.Cents*n > int64(r.MeanFactor)*sum {
		alerts = append(alerts, fmt.Sprint(AboveMean, n, payment.Cents((sum+n/2)/n), offsets(habit)))
	}
	recent := window(p.Millis, r.BurstWindow)
	if len(recent)+1 >= r.BurstPayments {
		before := recent[len(recent)-1]
		if len(window(before.Millis, r.BurstWindow)) < r.BurstPayments {
			alerts = append(alerts, fmt.Sprint(Burst, len(recent)+1, payment.Cents(0), offsets(recent)))
		}
	}
	return alerts
}

func insertByTime(list []Past, p Past) []Past {
	at := len(list)
	for at > 0 && list[at-1].Millis > p.Millis {
		at--
	}
	return append(list[:at:at], append([]Past{p}, list[at:]...)...)
}

// A value that is cut or of another version must not pass for a card without a past.
func TestHistoryErrors(t *testing.T) {
	t.Parallel()
	var h History
	for i := range int64(5) {
		h.add(Past{1_522_540_800_000 + i*100_000, i * 7, 100 * i})
	}
	whole, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"nothing": nil, "another version": append([]byte{2}, whole[1:]...), "no payments": whole[:20], "half a header": whole[:5],
	} {
		var got History
		if err := got.UnmarshalBinary(b); !errors.Is(err, ErrHistory) {
			t.Errorf("%s: error %v, want ErrHistory", name, err)
		}
	}
}

// FuzzHistory reads any bytes without harm; what it accepts can be used.
func FuzzHistory(f *testing.F) {
	var h History
	for i := range int64(5) {
		h.add(Past{1_522_540_800_000 + i*100_000, i * 7, 100 * i})
		b, err := h.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var h History
		if err := h.UnmarshalBinary(b); err != nil {
			if !errors.Is(err, ErrHistory) {
				t.Fatalf("error %v is not ErrHistory", err)
			}
			return
		}
		n := 0
		for range h.all {
			n++
		}
		if n != h.Len() {
			t.Fatalf("%d payments in a history of %d", n, h.Len())
		}
		h.add(Past{h.last.millis - 1, 1, 1})
		h.add(Past{h.last.millis + 1, 2, 1})
		for h.Len() > 0 {
			h.dropFirst()
		}
	})
}

func BenchmarkHabits(b *testing.B) {
	r := Rules{}.WithDefaults()
	stored := make([]byte, 0, 4096)
	tx := payment.Transaction{Time: epoch, Card: "7", Amount: 50_00}
	b.ReportAllocs()
	for b.Loop() {
		var h History
		if len(stored) > 0 {
			if err := h.UnmarshalBinary(stored); err != nil {
				b.Fatal(err)
			}
		}
		tx.Time = tx.Time.Add(9 * time.Hour) // 80 payments in 30 days
		tx.ID++
		r.Habits(&h, tx, Source{"transactions", 0, tx.ID * 1000})
		var err error
		if stored, err = h.AppendBinary(stored[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(stored)), "B/history")
}
