package broker_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/brokertest"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Assertion 20: what a crash leaves half-written behind the acknowledged records is
// cut off, and nothing else with it.
func TestTornTailIsCut(t *testing.T) {
	t.Parallel()
	const seed = 20
	whole := batch(1, "never acknowledged", "nor this")
	for name, tail := range map[string][]byte{
		"half a header":     whole[:30],
		"half a batch":      whole[:len(whole)-1],
		"a wrong checksum":  append(slices.Clone(whole[:len(whole)-1]), 'x'),
		"zeros":             make([]byte, 4096),
		"garbage":           bytes.Repeat([]byte{0xde, 0xad, 0xbe, 0xef}, 1000),
		"a length too long": {0, 0, 0, 0, 0, 0, 0, 3, 0x7f, 0xff, 0xff, 0xff},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
				fsys := vfs.NewMem()
				r := start(brokertest.FS(fsys))
				id := r.create("orders", 1)
				for i := range 3 {
					r.mustProduce("orders", batch(1, fmt.Sprint(i)))
				}
				crashed := fsys.CrashClone(50, rand.New(rand.NewPCG(seed, seed)))
				active := logFile(id, 0)
				appendTo(t, crashed, active, tail)

				r = start(brokertest.FS(crashed))
				p := r.fetch("orders", 0)
				if got := offsets(t, p.RecordBatches); p.ErrorCode != 0 || p.HighWatermark != 3 || !slices.Equal(got, []int64{0, 1, 2}) {
					t.Errorf("after the crash: batches at %v, high watermark %d, error %d, want 0, 1, 2 and 3", got, p.HighWatermark, p.ErrorCode)
				}
				if base := r.mustProduce("orders", batch(1, "next")); base != 3 {
					t.Errorf("the next record is at %d, want 3", base)
				}
				want := contents(t, crashed, active)
				again := crashed.CrashClone(100, rand.New(rand.NewPCG(seed, seed)))
				r = start(brokertest.FS(again))
				if p := r.fetch("orders", 0); p.HighWatermark != 4 {
					t.Errorf("after another start: high watermark %d, want 4", p.HighWatermark)
				}
				if !bytes.Equal(contents(t, again, active), want) {
					t.Error("another start changed the log")
				}
			})
		})
	}
}

// Assertion 21: a log whose index files are lost answers as before.
func TestLostIndexesAreRebuilt(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, start func(...brokertest.Option) *raw) {
		fsys := vfs.NewMem()
		r := start(brokertest.FS(fsys))
		id := r.create("orders", 1, "segment.bytes", "1048576")
		const batches = 30 // of 100 KiB: three segments
		for i := range batches {
			r.mustProduce("orders", batch(int64(i)*10, strings.Repeat("x", 100<<10), "y"))
		}
		answers := func() (all []string) {
			for ms := range int64(batches * 10) {
				p := do[*kmsg.ListOffsetsResponse](r, listOffsetsRequest(7, ms)).Topics[0].Partitions[0]
				all = append(all, fmt.Sprint("time ", ms, ": ", p.Offset, " ", p.Timestamp, " ", p.ErrorCode))
			}
			for offset := range int64(2 * batches) {
				all = append(all, fmt.Sprint("fetch ", offset, ": ", offsets(t, r.fetch("orders", offset).RecordBatches)))
			}
			return all
		}
		want := answers()
		brokertest.Stop(t, r.b)
		dir := topicDir(id, 0)
		names, err := fsys.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		removed := map[string][]byte{}
		for _, name := range names {
			if strings.HasSuffix(name, ".index") || strings.HasSuffix(name, ".timeindex") {
				removed[name] = contents(t, fsys, dir+"/"+name)
				if err := fsys.Remove(dir + "/" + name); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(removed) < 4 {
			t.Fatalf("only %d index files in %v", len(removed), names)
		}
		r = start(brokertest.FS(fsys))
		if diff := cmp.Diff(want, answers()); diff != "" {
			t.Errorf("without the index files (-want +got):\n%s", diff)
		}
		brokertest.Stop(t, r.b)
		for name, before := range removed {
			if after := contents(t, fsys, dir+"/"+name); !bytes.Equal(before, after) {
				t.Errorf("%s was made anew with %d bytes, and had %d", name, len(after), len(before))
			}
		}
	})
}

// topicDir is the directory of a partition.
func topicDir(id [16]byte, partition int) string {
	return fmt.Sprintf("topics/%x/%d", id, partition)
}

// logFile is the first segment of a partition.
func logFile(id [16]byte, partition int) string {
	return topicDir(id, partition) + "/" + strings.Repeat("0", 20) + ".log"
}

func contents(t *testing.T, fsys vfs.FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, size)
	if n, err := f.ReadAt(b, 0); n != len(b) {
		t.Fatalf("read %s: %d bytes, %v", name, n, err)
	}
	return b
}

func appendTo(t *testing.T, fsys vfs.FS, name string, tail []byte) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err == nil {
		_, err = f.WriteAt(tail, size)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}
