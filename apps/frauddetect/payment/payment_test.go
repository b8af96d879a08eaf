package payment

import (
	"bytes"
	"encoding/json/v2"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/internal/csvfile"
	"github.com/riffle-stream/riffle/serde"
)

func TestParseCents(t *testing.T) {
	t.Parallel()
	tests := []struct {
		in   string
		want Cents
	}{
		{"57.16", 5716},
		{"146.00", 14600},
		{"146", 14600},
		{"0.5", 50},
		{"5.", 500},
		{"0.01", 1},
		{"007.10", 710},
		{"10000000000000.00", 1e15},
	}
	for _, tt := range tests {
		got, err := ParseCents([]byte(tt.in))
		if err != nil || got != tt.want {
			t.Errorf("ParseCents(%q) = %d, %v, want %d", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []string{"", ".", ".5", "-1.00", "+1", "1e3", "1,50", "1.234", "1.2.3", " 1", "10000000000000.01", "99999999999999999999", "NaN"} {
		if got, err := ParseCents([]byte(in)); err == nil {
			t.Errorf("ParseCents(%q) = %d, want an error", in, got)
		}
	}
}

func TestCentsAsText(t *testing.T) {
	t.Parallel()
	for c, want := range map[Cents]string{0: "0.00", 5: "0.05", 5716: "57.16", 1e15: "10000000000000.00", -130: "-1.30"} {
		if got := c.String(); got != want {
			t.Errorf("Cents(%d).String() = %s, want %s", c, got, want)
		}
	}
	type bill struct{ Due Cents }
	b, err := json.Marshal(bill{14600})
	if err != nil || string(b) != `{"Due":146.00}` {
		t.Errorf("as JSON: %s, %v, want 146.00", b, err)
	}
	var back bill
	if err := json.Unmarshal(b, &back); err != nil || back.Due != 14600 {
		t.Errorf("read back from JSON: %d, %v, want 14600", back.Due, err)
	}
}

func parser(t testing.TB, head string) *Parser {
	t.Helper()
	r, err := csvfile.NewReader(strings.NewReader(head+"\n"), csvfile.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewParser(r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const handbook = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_TIME_SECONDS,TX_TIME_DAYS,TX_FRAUD,TX_FRAUD_SCENARIO"

func split(row string) [][]byte { return bytes.Split([]byte(row), []byte{','}) }

func TestParse(t *testing.T) {
	t.Parallel()
	want := Transaction{
		ID: 3527, Time: time.Date(2018, 4, 1, 10, 17, 43, 0, time.UTC),
		Card: "3774", Terminal: "3059", Amount: 22541, Scenario: 1,
	}
	tests := []struct{ head, row string }{
		{handbook, "3527,2018-04-01T10:17:43,3774,3059,225.41,37063,0,1,1"},
		{handbook, "3527,2018-04-01 10:17:43,3774,3059,225.41,37063,0,1,1"},
		{"TX_FRAUD_SCENARIO,note,TX_AMOUNT,TERMINAL_ID,CUSTOMER_ID,TX_DATETIME,TRANSACTION_ID", "1,x,225.41,3059,3774,2018-04-01T12:17:43+02:00,3527"},
	}
	for _, tt := range tests {
		got, err := parser(t, tt.head).Parse(split(tt.row))
		if err != nil {
			t.Errorf("Parse(%s): %v", tt.row, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("Parse(%s) (-want +got)\n%s", tt.row, diff)
		}
	}
	unlabelled, err := parser(t, strings.Join(Columns(), ",")).Parse(split("1,2018-04-01T00:00:00,2,3,4"))
	if err != nil || unlabelled.Fraud() {
		t.Errorf("a file without labels: %+v, %v, want no error and no fraud", unlabelled, err)
	}
}

func TestParseErrors(t *testing.T) {
	t.Parallel()
	p := parser(t, handbook)
	for row, column := range map[string]string{
		"x,2018-04-01T10:17:43,1,2,3.00,0,0,0,0":                   ColumnID,
		",2018-04-01T10:17:43,1,2,3.00,0,0,0,0":                    ColumnID,
		"1,yesterday,1,2,3.00,0,0,0,0":                             ColumnTime,
		"1,2018-04-31T10:17:43,1,2,3.00,0,0,0,0":                   ColumnTime,
		"1,2018-13-01T10:17:43,1,2,3.00,0,0,0,0":                   ColumnTime,
		"1,2018-04-01T24:00:00,1,2,3.00,0,0,0,0":                   ColumnTime,
		"1,2018-04-01T10:60:00,1,2,3.00,0,0,0,0":                   ColumnTime,
		"1,1969-12-31T23:59:59,1,2,3.00,0,0,0,0":                   ColumnTime,
		"1,1970-01-01T00:00:00+01:00,1,2,3.00,0,0,0,0":             ColumnTime,
		"1,201x-04-01T10:17:43,1,2,3.00,0,0,0,0":                   ColumnTime,
		"1,2018-04-01T10:17:43,,2,3.00,0,0,0,0":                    ColumnCustomer,
		"1,2018-04-01T10:17:43,1,2,-3.00,0,0,0,0":                  ColumnAmount,
		"1,2018-04-01T10:17:43,1,2,3.00,0,0,0,lots":                ColumnScenario,
		"9223372036854775808,2018-04-01T10:17:43,1,2,3.00,0,0,0,0": ColumnID,
	} {
		_, err := p.Parse(split(row))
		var bad *ColumnError
		if !errors.As(err, &bad) || bad.Column != column {
			t.Errorf("Parse(%s) error = %v, want one about column %s", row, err, column)
		}
	}
}

func TestMissingColumns(t *testing.T) {
	t.Parallel()
	r, err := csvfile.NewReader(strings.NewReader("TRANSACTION_ID,TX_DATETIME,TERMINAL_ID,amount\n"), csvfile.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = NewParser(r)
	if err == nil || !strings.Contains(err.Error(), "no column CUSTOMER_ID, TX_AMOUNT") {
		t.Errorf("NewParser error = %v, want one that names both missing columns", err)
	}
}

func TestAvroKeepsTransaction(t *testing.T) {
	t.Parallel()
	want := Transaction{ID: 7, Time: time.Date(2018, 4, 1, 0, 0, 31, 0, time.UTC), Card: "596", Terminal: "3156", Amount: 5716, Scenario: 2}
	s := serde.Avro[Transaction]()
	b, err := s.Encode(nil, want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("through Avro (-want +got)\n%s", diff)
	}
}

// FuzzParse feeds rows of any bytes: whatever is accepted has an amount, a time and a card that a second
// parse of their text gives again.
func FuzzParse(f *testing.F) {
	f.Add([]byte("3527,2018-04-01T10:17:43,3774,3059,225.41,37063,0,1,1"))
	f.Add([]byte("1,2018-04-01T12:00:00.5+02:00,a,,0.5,,,,"))
	p := parser(f, handbook)
	f.Fuzz(func(t *testing.T, row []byte) {
		fields := bytes.Split(row, []byte{','})
		if len(fields) != 9 {
			return
		}
		got, err := p.Parse(fields)
		if err != nil {
			var bad *ColumnError
			if !errors.As(err, &bad) {
				t.Fatalf("error %v is no ColumnError", err)
			}
			return
		}
		text := [][]byte{
			strconv.AppendInt(nil, got.ID, 10), got.Time.AppendFormat(nil, time.RFC3339Nano), []byte(got.Card), []byte(got.Terminal),
			[]byte(got.Amount.String()), nil, nil, nil, strconv.AppendInt(nil, int64(got.Scenario), 10),
		}
		again, err := p.Parse(text)
		if err != nil {
			t.Fatalf("written as %q: %v", text, err)
		}
		if diff := cmp.Diff(got, again); diff != "" {
			t.Fatalf("written as %q (-want +got)\n%s", text, diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	p := parser(b, handbook)
	fields := split("1754154,2018-09-30T23:59:57,4999,10000,146.00,15811197,182,0,0")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Parse(fields); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAvro(b *testing.B) {
	s := serde.Avro[Transaction]()
	v := Transaction{ID: 1754154, Time: time.Date(2018, 9, 30, 23, 59, 57, 0, time.UTC), Card: "4999", Terminal: "10000", Amount: 14600}
	buf, err := s.Encode(nil, v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("op=encode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if buf, err = s.Encode(buf[:0], v); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("op=decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}
