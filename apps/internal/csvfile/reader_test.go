package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

// readAll reads a file to its end and returns one line of text for each row and each error.
func readAll(r interface{ Next() (Row, error) }) (got []string) {
	for {
		row, err := r.Next()
		var bad *RowError
		switch {
		case errors.Is(err, io.EOF):
			return got
		case errors.As(err, &bad):
			got = append(got, fmt.Sprintf("%d bad %q: %v", bad.Line, bad.Raw, bad.Err))
		case err != nil:
			return append(got, err.Error())
		default:
			got = append(got, fmt.Sprintf("%d %q", row.Line, row.Fields))
		}
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, in string
		want     []string
	}{
		{"plain", "a,b\n1,2\n3,4\n", []string{`2 ["1" "2"]`, `3 ["3" "4"]`}},
		{"no line end at the end", "a,b\n1,2", []string{`2 ["1" "2"]`}},
		{"empty fields", "a,b\n,\n", []string{`2 ["" ""]`}},
		{"carriage returns", "a,b\r\n1,2\r\n\r\n3,4\r\n", []string{`2 ["1" "2"]`, `4 ["3" "4"]`}},
		{"blank lines", "\na,b\n\n1,2\n\n\n", []string{`4 ["1" "2"]`}},
		{"byte order mark", "\ufeffa,b\n1,2\n", []string{`2 ["1" "2"]`}},
		{"quotes", "a,b\n\"x,y\",\"say \"\"hi\"\"\"\n\"\",\"\"\"\"\n", []string{`2 ["x,y" "say \"hi\""]`, `3 ["" "\""]`}},
		{"two escaped fields", "a,b\n\"\"\"1\",\"2\"\"\"\n", []string{`2 ["\"1" "2\""]`}},
		{"line end in quotes", "a,b\n\"x\ny\",2\n3,4\n", []string{`2 ["x\ny" "2"]`, `4 ["3" "4"]`}},
		{
			"wrong number of fields", "a,b\n1\n1,2,3\n4,5\n",
			[]string{`2 bad "1": wrong number of fields: 1, the header has 2`, `3 bad "1,2,3": wrong number of fields: 3, the header has 2`, `4 ["4" "5"]`},
		},
		{
			"stray quotes", "a,b\n1,2\"\n\"3\"x,4\n5,6\n",
			[]string{`2 bad "1,2\"": ` + ErrQuote.Error(), `3 bad "\"3\"x,4": ` + ErrQuote.Error(), `4 ["5" "6"]`},
		},
		{
			"a quote that is never closed costs one line", "a,b\n\"1,2\n3,4\n5,6\n",
			[]string{`2 bad "\"1,2": quoted field is never closed`, `3 ["3" "4"]`, `4 ["5" "6"]`},
		},
		{
			"an unclosed quote in the last line", "a,b\n3,4\n5,\"6",
			[]string{`2 ["3" "4"]`, `3 bad "5,\"6": quoted field is never closed`},
		},
		{
			"a row too long", "a,b\n" + strings.Repeat("x", 100) + ",2\n3,4\n",
			[]string{`2 bad "` + strings.Repeat("x", 40) + `": row too long: more than 40 bytes`, `3 ["3" "4"]`},
		},
		{
			"a quoted row too long costs one line", "a,b\n\"1\n" + strings.Repeat("3,4\n", 20),
			append([]string{`2 bad "\"1": quoted field is never closed`}, rows(3, 20, `["3" "4"]`)...),
		},
		{
			"the last row too long", "a,b\n" + strings.Repeat("x", 100),
			[]string{`2 bad "` + strings.Repeat("x", 40) + `": row too long: more than 40 bytes`},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, src := range map[string]io.Reader{
				"whole":      strings.NewReader(tt.in),
				"byte-wise":  iotest.OneByteReader(strings.NewReader(tt.in)),
				"data+error": iotest.DataErrReader(strings.NewReader(tt.in)),
			} {
				r, err := NewReader(src, Config{MaxRowBytes: 40})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff([]string{"a", "b"}, r.Header()); diff != "" {
					t.Errorf("%s: Header (-want +got)\n%s", name, diff)
				}
				if diff := cmp.Diff(tt.want, readAll(r)); diff != "" {
					t.Errorf("%s (-want +got)\n%s", name, diff)
				}
			}
		})
	}
}

func rows(from, n int, fields string) (want []string) {
	for i := range n {
		want = append(want, fmt.Sprintf("%d %s", from+i, fields))
	}
	return want
}

func TestColumns(t *testing.T) {
	t.Parallel()
	r, err := NewReader(strings.NewReader("id, amount ,when\n"), Config{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Columns("when", "amount")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int{2, 1}, got); diff != "" {
		t.Errorf("Columns (-want +got)\n%s", diff)
	}
	_, err = r.Columns("id", "card", "limit")
	if want := "csvfile: no column card, limit: the header has id, amount, when"; err == nil || err.Error() != want {
		t.Errorf("Columns of missing names: %v, want %s", err, want)
	}
}

// A read error must never look like the end of the file, and half a row must not look like a row.
func TestReadErrorIsNotTheEnd(t *testing.T) {
	t.Parallel()
	src := io.MultiReader(strings.NewReader("a,b\n1,2\n3,4"), iotest.ErrReader(errors.New("disk on fire")))
	r, err := NewReader(src, Config{})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`2 ["1" "2"]`, "csvfile: reading on from line 3: disk on fire"}
	if diff := cmp.Diff(want, readAll(r)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNoHeader(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "\n\n", "\"a\n"} {
		if _, err := NewReader(strings.NewReader(in), Config{}); err == nil || !strings.Contains(err.Error(), "no header") {
			t.Errorf("NewReader(%q) error = %v, want one about the header", in, err)
		}
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	fmt.Fprint(w, "a,b\n", strings.Repeat("1,2\n", 10_000))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	// The name does not tell what is inside.
	f, err := Open(write("zipped.csv", zipped.Bytes()), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(readAll(f)); got != 10_000 {
		t.Errorf("%d rows in the gzipped file, want 10000", got)
	}
	grown, err := Open(write("zipped.csv", append(zipped.Bytes(), zipped.Bytes()...)), Config{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(write("other.csv", zipped.Bytes()), Config{})
	if err != nil {
		t.Fatal(err)
	}
	changed, err := Open(write("zipped.csv", []byte("a,b\n3,4\n")), Config{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Identity() != grown.Identity() || f.Identity() == other.Identity() || f.Identity() == changed.Identity() {
		t.Errorf("identities: %s; grown %s; of another name %s; of another first row %s",
			f.Identity(), grown.Identity(), other.Identity(), changed.Identity())
	}
	if first, ok := changed.First(); !ok || string(first.Fields[1]) != "4" {
		t.Errorf("First = %q, %v, want the row 3,4", first.Fields, ok)
	}
	for _, f := range []*File{grown, other, changed} {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if got := f.Progress(); got != 1 {
		t.Errorf("Progress at the end = %v, want 1", got)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}

	f, err = Open(write("cut.csv.gz", zipped.Bytes()[:zipped.Len()-9]), Config{})
	if err != nil {
		t.Fatal(err)
	}
	for err = nil; err == nil; {
		_, err = f.Next()
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.Contains(err.Error(), "cut.csv.gz") {
		t.Errorf("a cut gzip file ends with %v, want an unexpected EOF that names the file", err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}

	for path, want := range map[string]string{
		filepath.Join(dir, "missing.csv"): "no such file",
		dir:                               "is a directory",
		write("empty.csv", nil):           "the file is empty",
	} {
		if _, err := Open(path, Config{}); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) {
			t.Errorf("Open(%s) error = %v, want %q and the path", path, err, want)
		}
	}
}

// FuzzReader reads any bytes without harm, and agrees with encoding/csv on every file that one accepts.
func FuzzReader(f *testing.F) {
	for _, s := range []string{"a,b\n1,2\n", "a\n\"x\ny\"\n", "a,b\n\"\"\"\",\n", "a\n\"\n1\n2", "\"a\"\"b\",c\n1,\"2\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewReader(bytes.NewReader(in), Config{MaxRowBytes: 64})
		if err != nil {
			return
		}
		var got [][]string
		clean, lastLine := true, int64(0)
		for {
			row, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			var bad *RowError
			switch {
			case errors.As(err, &bad):
				clean = false
				row.Line = bad.Line
			case err != nil:
				t.Fatalf("Next: %v", err)
			default:
				var fields []string
				for _, field := range row.Fields {
					fields = append(fields, string(field))
				}
				got = append(got, fields)
			}
			if row.Line <= lastLine {
				t.Fatalf("line %d follows line %d", row.Line, lastLine)
			}
			lastLine = row.Line
		}
		if bytes.IndexByte(in, '\r') >= 0 {
			return // encoding/csv removes carriage returns inside quotes, which are data to us
		}
		reference := csv.NewReader(bytes.NewReader(in))
		want, err := reference.ReadAll()
		if clean != (err == nil) && len(in) <= 64 {
			t.Fatalf("clean = %v, encoding/csv says %v", clean, err)
		}
		if clean && err == nil {
			if diff := cmp.Diff(want[1:], append([][]string{}, got...)); diff != "" {
				t.Fatalf("rows differ from encoding/csv (-want +got)\n%s", diff)
			}
		}
	})
}

func BenchmarkReader(b *testing.B) {
	row := "1754154,2018-09-30T23:59:57,4999,10000,146.00,15811197,182,0,0\n"
	in := []byte("a,b,c,d,e,f,g,h,i\n" + strings.Repeat(row, 10_000))
	b.SetBytes(int64(len(row)))
	b.ReportAllocs()
	for left := 0; b.Loop(); left-- {
		if left == 0 {
			left = 10_000
			b.StopTimer()
			r, err := NewReader(bytes.NewReader(in), Config{})
			if err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			benchReader = r
		}
		if _, err := benchReader.Next(); err != nil {
			b.Fatal(err)
		}
	}
}

var benchReader *Reader
