package peers

import (
	"bytes"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"
)

// aloneIn names the directory of a process that runs one contender of a workload for another process.
const aloneIn = "RIFFLE_BENCH_ALONE"

// runAlone runs the benchmark in a process of its own and reports what that one reported, so that what a contender leaves in memory
// is not counted for the next. It returns false in that process, which is to run the benchmark itself.
func runAlone(b *testing.B) bool {
	b.Helper()
	if os.Getenv(aloneIn) != "" {
		return false
	}
	b.ReportMetric(0, "ns/op") // an operation is as large as the workload happens to be
	args := []string{"-test.run=^$", "-test.benchtime=1x", "-test.timeout=20m", "-test.bench=" + only(b.Name())}
	cmd := exec.CommandContext(b.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), aloneIn+"="+base, "RIFFLE_BENCH_DIR="+base)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	results := benchfmt.NewReader(bytes.NewReader(out), b.Name())
	for results.Scan() {
		r, ok := results.Result().(*benchfmt.Result)
		if !ok {
			continue
		}
		for _, v := range r.Values {
			if v.OrigUnit != "" { // as printed: nanoseconds, and not seconds
				v.Value, v.Unit = v.OrigValue, v.OrigUnit
			}
			if v.Unit != "ns/op" {
				b.ReportMetric(v.Value, v.Unit)
			}
		}
	}
	return true
}

// only is the pattern of one benchmark.
func only(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return strings.Join(parts, "/")
}
