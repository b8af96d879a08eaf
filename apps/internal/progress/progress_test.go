package progress

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDisplay(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"terminal", Config{Terminal: true}, "\rline 1\x1b[K\rline 2\x1b[K\r\x1b[Kalert\n\rline 3\x1b[K\r\x1b[Kafter\n"},
		{"log", Config{Every: 250 * time.Millisecond}, "line 1\nline 2\nalert\nline 3\nafter\n"},
		{"log, seldom", Config{}, "alert\nafter\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				n := 0
				d := Start(&out, tt.cfg, func() string { n++; return fmt.Sprint("line ", n) })
				time.Sleep(600 * time.Millisecond)
				d.Println("alert")
				time.Sleep(200 * time.Millisecond)
				d.Stop()
				d.Println("after")
				if diff := cmp.Diff(tt.want, out.String()); diff != "" {
					t.Errorf("(-want +got)\n%s", diff)
				}
			})
		})
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1754155: "1,754,155", -12: "-12", -1234: "-1,234", -123456: "-123,456"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestIsTerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	t.Setenv("TERM", "xterm")
	if IsTerminal(f) {
		t.Error("a file is taken for a terminal")
	}
}
