package window_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream/window"
)

const ms = time.Millisecond

// A record belongs to the windows that begin at a multiple of the advance and hold its time, and to no other.
func TestHoppingModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Int64Range(1, 60).Draw(t, "size")
		advance := rapid.Int64Range(1, size).Draw(t, "advance")
		at := rapid.Int64Range(0, 200).Draw(t, "time")
		w := window.Hopping(time.Duration(size)*ms, time.Duration(advance)*ms).Grace(0)
		var want []window.Window
		for start := int64(0); start <= at; start += advance {
			if at < start+size {
				want = append(want, window.Millis(start, start+size))
			}
		}
		got := slices.Collect(w.At(time.UnixMilli(at)))
		if diff := cmp.Diff(want, got); diff != "" || w.Err != nil {
			t.Fatalf("%v at %d: %v (-want +got):\n%s", w, at, w.Err, diff)
		}
		for _, x := range got {
			if !x.Contains(time.UnixMilli(at)) {
				t.Fatalf("%v does not contain %d", x, at)
			}
		}
	})
}

func TestUnlimited(t *testing.T) {
	t.Parallel()
	w := window.Unlimited()
	for _, at := range []int64{0, 1, 1 << 60} {
		if got := slices.Collect(w.At(time.UnixMilli(at))); !slices.Equal(got, []window.Window{window.Millis(0, math.MaxInt64)}) {
			t.Errorf("at %d: %v, want one window for all time", at, got)
		}
	}
	if w.ClosesAfter() != math.MaxInt64 {
		t.Errorf("closes after %d ms, want never", w.ClosesAfter())
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err  error
		want string
	}{
		{window.Tumbling(time.Minute).Grace(0).Err, ""},
		{window.Hopping(time.Minute, time.Second).Grace(time.Hour).Err, ""},
		{window.Sliding(time.Minute, time.Hour).Grace(0).Err, ""},
		{window.Session(time.Minute).Grace(0).Err, ""},
		{window.Unlimited().Err, ""},
		{window.Tumbling(0).Grace(0).Err, "the size of a window is 0s: want a multiple of 1ms"},
		{window.Tumbling(time.Minute).Grace(-1).Err, "the grace of a window is -1ns: want 0 or a multiple of 1ms"},
		{window.Hopping(time.Minute, 1500*time.Microsecond).Grace(0).Err, "the advance of hopping windows is 1.5ms: want a multiple of 1ms"},
		{window.Hopping(time.Minute, time.Hour).Grace(0).Err, "hopping windows of 1m0s advance by 1h0m0s: records between them would be lost"},
		{window.Hopping(time.Hour, ms).Grace(0).Err, "a record would belong to 3600000 windows, want at most 1000"},
		{window.Sliding().Grace(0).Err, "sliding windows have no width"},
		{window.Sliding(ms, -ms, ms).Grace(0).Err, "the width of a sliding window is -1ms: want a multiple of 1ms\nsliding windows name the width 1ms twice"},
		{window.Session(0).Grace(ms).Err, "the gap of a session window is 0s"},
	}
	for _, test := range tests {
		if got := fmt.Sprint(test.err); test.err != nil && (test.want == "" || !strings.Contains(got, test.want)) || test.err == nil && test.want != "" {
			t.Errorf("mistake %q, want %q", got, test.want)
		}
	}
}

func TestKeySerde(t *testing.T) {
	t.Parallel()
	s := window.KeySerde(serde.String)
	for _, k := range []window.Key[string]{
		{"card-1", window.Millis(1_000, 2_000)},
		{"", window.Millis(0, math.MaxInt64)},
	} {
		b, err := s.Encode([]byte("x"), k)
		if err != nil {
			t.Fatal(err)
		}
		back, err := s.Decode(b[1:])
		if err != nil || back != k {
			t.Errorf("%v came back as %v, %v", k, back, err)
		}
		if own, err := s.Own(b[1:]); err != nil || own != k {
			t.Errorf("%v came back as %v, %v, of its own bytes", k, own, err)
		}
	}
	for name, decode := range map[string]func([]byte) (window.Key[string], error){"Decode": s.Decode, "Own": s.Own} {
		if _, err := decode(make([]byte, 15)); err == nil {
			t.Errorf("%s: 15 bytes decode", name)
		}
	}
	if window.KeySerde(serde.Int64).Own != nil {
		t.Error("a key without Own has one with its window")
	}
}

func Example() {
	w := window.Hopping(5*time.Minute, time.Minute).Grace(30 * time.Second)
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for x := range w.At(noon) {
		fmt.Println(x.Start.Format(time.TimeOnly), x.End.Format(time.TimeOnly))
	}
	fmt.Println(w)
	fmt.Println(window.Session(30 * time.Minute).Grace(0))
	fmt.Println(window.Sliding(time.Hour, 24*time.Hour).Grace(time.Minute))
	fmt.Println(window.Key[string]{"card-1", window.Millis(0, 60_000)})
	// Output:
	// 11:56:00 12:01:00
	// 11:57:00 12:02:00
	// 11:58:00 12:03:00
	// 11:59:00 12:04:00
	// 12:00:00 12:05:00
	// hopping(5m0s, 1m0s).grace(30s)
	// session(30m0s).grace(0s)
	// sliding(1h0m0s, 24h0m0s).grace(1m0s)
	// card-1@[1970-01-01T00:00:00Z, 1970-01-01T00:01:00Z)
}
