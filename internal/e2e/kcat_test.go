package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker/record"
)

// TestKcat has a client with another pedigree (librdkafka) list, produce with
// each codec, and consume with and without a group; then the server is killed, and all that it acknowledged must still be there.
func TestKcat(t *testing.T) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		t.Skip("kcat is not installed; on Debian: apt-get install kcat")
	}
	dir, addr := t.TempDir(), freeAddr(t)
	s := startServer(t, dir, addr)
	run(t, program(t, "riffle"), "topic", "create", "payments", "--partitions", "3", "--brokers", addr)

	codecs := map[string]record.Codec{
		"none": record.None, "gzip": record.Gzip, "snappy": record.Snappy, "lz4": record.LZ4, "zstd": record.Zstd,
	}
	const each = 500
	var want []string
	for _, name := range slices.Sorted(maps.Keys(codecs)) {
		var lines bytes.Buffer
		for i := range each {
			// Long and repetitive, so that librdkafka finds compressing worth it.
			line := fmt.Sprintf("card-%d=%s payment %d %s", i%17, name, i, strings.Repeat("again and ", 12))
			want = append(want, line)
			lines.WriteString(line + "\n")
		}
		produce := exec.Command(kcat, "-b", addr, "-P", "-t", "payments", "-K", "=", "-z", name, "-X", "acks=all")
		produce.Stdin = &lines
		if out, err := produce.CombinedOutput(); err != nil || len(out) > 0 {
			t.Fatalf("kcat -P -z %s: %v\n%s", name, err, out)
		}
	}
	slices.Sort(want)

	if list := run(t, kcat, "-b", addr, "-L"); !strings.Contains(list, `topic "payments" with 3 partitions`) {
		t.Errorf("kcat -L does not list the topic:\n%s", list)
	}
	consume := []string{"-b", addr, "-C", "-t", "payments", "-o", "beginning", "-e", "-q", "-K", "="}
	if diff := cmp.Diff(want, sortedLines(run(t, kcat, consume...))); diff != "" {
		t.Errorf("kcat -C (-want +got):\n%s", tail(diff))
	}
	group := run(t, kcat, "-b", addr, "-G", "readers", "-c", fmt.Sprint(len(want)), "-q", "-K", "=",
		"-X", "auto.offset.reset=earliest", "payments")
	if diff := cmp.Diff(want, sortedLines(group)); diff != "" {
		t.Errorf("kcat -G (-want +got):\n%s", tail(diff))
	}

	s.kill()
	if diff := cmp.Diff(codecs, storedCodecs(t, dir)); diff != "" {
		t.Errorf("codecs of the stored batches (-want +got):\n%s", diff)
	}
	startServer(t, dir, addr)
	if diff := cmp.Diff(want, sortedLines(run(t, kcat, consume...))); diff != "" {
		t.Errorf("after kill -9 (-want +got):\n%s", tail(diff))
	}
}

func sortedLines(s string) []string {
	lines := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(lines)
	return lines
}

// storedCodecs reads the segments as they lie on disk and returns the codecs of
// their batches, by name. The batches of internal topics are not compressed, and count as none.
func storedCodecs(t *testing.T, dir string) map[string]record.Codec {
	t.Helper()
	names := []string{"none", "gzip", "snappy", "lz4", "zstd"}
	found := make(map[string]record.Codec)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".log" {
			return err
		}
		segment, err := os.ReadFile(path)
		for err == nil && len(segment) > 0 {
			var b record.Batch
			if b, segment, err = record.Next(segment); err == nil {
				codec := b.Attributes().Codec()
				found[names[codec]] = codec
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
