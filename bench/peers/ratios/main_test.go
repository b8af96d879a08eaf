package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	t.Parallel()
	const rounds = `
goos: linux
BenchmarkEngine/work=count/partitions=6/engine=riffle-2     	       1	  700 cpu-ns/record	     2.5 allocs/record	  500000 records/s	 12 B/op
BenchmarkEngine/work=count/partitions=6/engine=riffle-alo-2 	       1	  500000 records/s	     2.5 allocs/record
BenchmarkEngine/work=count/partitions=6/engine=goka-2       	       1	   50000 records/s	     120 allocs/record
BenchmarkLatency/load=10%/engine=riffle-2                   	       1	     4.25 p50-ms
BenchmarkEngine/work=count/partitions=6/engine=riffle-2     	       1	  100000 records/s	     2.7 allocs/record
BenchmarkEngine/work=count/partitions=6/engine=riffle-alo-2 	       1	  400000 records/s	     2.5 allocs/record
BenchmarkEngine/work=count/partitions=6/engine=goka-2       	       1	   50000 records/s	     120 allocs/record
BenchmarkUnrelated-2                                        	       1	       5 ns/op
`
	file := filepath.Join(t.TempDir(), "out.txt")
	if err := os.WriteFile(file, []byte(rounds), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run([]string{file}, &out); err != nil {
		t.Fatal(err)
	}
	const want = `| case | engine | riffle is | records/s | cpu-ns/record | allocs/record | p50-ms |
| --- | --- | --- | --- | --- | --- | --- |
| Engine/work=count/partitions=6 | riffle |  | 300000 | 700 | 2.60 |  |
| Engine/work=count/partitions=6 | riffle-alo | 0.62 × (0.25 to 1.00) | 450000 |  | 2.50 |  |
| Engine/work=count/partitions=6 | goka | 6.00 × (2.00 to 10.00) | 50000 |  | 120 |  |
| Latency/load=10% | riffle |  |  |  |  | 4.25 |
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty.txt")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "usage"},
		{[]string{filepath.Join(t.TempDir(), "none.txt")}, "no such file"},
		{[]string{empty}, "has no benchmark"},
	} {
		if err := run(c.args, new(strings.Builder)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("run(%q): %v, want an error with %q", c.args, err, c.want)
		}
	}
}
