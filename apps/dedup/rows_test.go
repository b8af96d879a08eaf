package main

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestClock(t *testing.T) {
	t.Parallel()
	header := []string{"id", "when", "ms"}
	tests := []struct {
		spec string
		row  string
		want time.Time
	}{
		{"", "1|2011-01-01 08:00:00|5", time.Date(2011, 1, 1, 8, 0, 0, 0, time.UTC)},
		{"", "1|2011-01-01T08:00:00|5", time.Date(2011, 1, 1, 8, 0, 0, 0, time.UTC)},
		{"", "1|2011-01-01T08:00:00.5+01:00|5", time.Date(2011, 1, 1, 7, 0, 0, 5e8, time.UTC)},
		{"", "2011-01-02|2011-01-01|5", time.Date(2011, 1, 2, 0, 0, 0, 0, time.UTC)},
		{"", "1|2|3", time.Time{}},
		{"when", "2011-01-02|2011-01-01|5", time.Date(2011, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"ms:ms", "1|2|1522540800001", time.Date(2018, 4, 1, 0, 0, 0, 1e6, time.UTC)},
		{"ms:s", "1|2|1522540800", time.Date(2018, 4, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, tt := range tests {
		row := bytes.Split([]byte(tt.row), []byte("|"))
		c, err := newClock(tt.spec, header, row)
		if err != nil {
			t.Errorf("newClock(%q): %v", tt.spec, err)
			continue
		}
		if got, err := c.read(row); err != nil || !got.Equal(tt.want) {
			t.Errorf("--time %q of %s = %v, %v, want %v", tt.spec, tt.row, got, err, tt.want)
		}
	}
	for spec, value := range map[string]string{"when": "soon", "ms:ms": "-5", "ms:s": "99999999999999999999", "id": "1969-12-31", "id:s": ""} {
		row := bytes.Split([]byte(value+"|"+value+"|"+value), []byte("|"))
		c, err := newClock(spec, header, row)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.read(row); err == nil {
			t.Errorf("--time %s of %q = %v, want an error", spec, value, got)
		}
	}
}

// FuzzJoinFields checks that a key says which fields it was made of.
func FuzzJoinFields(f *testing.F) {
	f.Add("1", "12")
	f.Add("a,b", `say "hi"`)
	f.Add("", "two\nlines")
	f.Fuzz(func(t *testing.T, a, b string) {
		joined := joinFields([][]byte{[]byte(a), []byte(b)})
		if strings.Contains(joined, "\r") {
			return // encoding/csv drops carriage returns in front of line ends
		}
		if joined == "," {
			return // and takes a row of empty fields for what it is, but only with a line end
		}
		got, err := csv.NewReader(strings.NewReader(joined)).Read()
		if err != nil {
			t.Fatalf("%q: %v", joined, err)
		}
		if diff := cmp.Diff([]string{a, b}, got); diff != "" {
			t.Fatalf("%q (-want +got)\n%s", joined, diff)
		}
	})
}
