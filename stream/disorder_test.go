package stream_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
	"github.com/riffle-stream/riffle/stream/streamtest"
	"github.com/riffle-stream/riffle/stream/window"
)

// measured is a record of the tests of disorder: those with an even number are of the left stream.
type measured struct {
	n, key, millis int64
}

// disorder is how far records are shuffled, in places, and the grace of the windows, in milliseconds. Two neighbours are at most 2 ms
// apart, so a grace of twice the places means that none is late.
type disorder struct{ places, grace int64 }

func (d disorder) String() string {
	if d.places == math.MaxInt64 {
		return "places=any"
	}
	return fmt.Sprintf("places=%d/grace=%d", d.places, d.grace)
}

func (d disorder) inTime() bool { return d.places <= d.grace/2 }

const (
	disorderSize, disorderAdvance, disorderGap, disorderNear = 1000, 500, 150, 200
)

// inDisorder returns records in the order of their times, some equal, and then in the order in which they arrive.
func inDisorder(rng *rand.Rand, n int, d disorder) (records []measured) {
	now := int64(0)
	for i := range int64(n) {
		now += rng.Int64N(3)
		records = append(records, measured{n: i, key: rng.Int64N(300), millis: now})
	}
	place := make([]int64, n)
	for i := range place {
		place[i] = int64(i) + rng.Int64N(min(d.places, int64(n)))
		if d.places == math.MaxInt64 {
			place[i] = rng.Int64()
		}
	}
	slices.SortFunc(records, func(a, b measured) int { return cmp.Or(cmp.Compare(place[a.n], place[b.n]), cmp.Compare(a.n, b.n)) })
	return records
}

// found are results: how often each was there.
type found map[string]int

// batch is what there is to be found in records, computed with all of them at hand. Lateness alone depends on the order of arrival.
func batch(records []measured, d disorder) (windows, sessions, pairs, late found) {
	windows, sessions, pairs, late = make(found), make(found), make(found), make(found)
	byKey := make(map[int64][]measured)
	sums := make(map[string]int64)
	now := int64(0)
	for _, r := range records {
		now = max(now, r.millis)
		missed := ""
		for start := max(0, r.millis-disorderSize+disorderAdvance) / disorderAdvance * disorderAdvance; start <= r.millis; start += disorderAdvance {
			if r.millis >= start+disorderSize {
				continue
			}
			if start+disorderSize+d.grace <= now {
				missed += fmt.Sprint(" ", start)
			} else {
				sums[fmt.Sprint(r.key, "@", start)] += r.n
			}
		}
		if missed != "" {
			late[fmt.Sprint("window ", r.n, missed)]++
		}
		if r.millis+disorderNear+d.grace < now {
			late[fmt.Sprint("join ", r.n)]++
		} else {
			byKey[r.key] = append(byKey[r.key], r)
		}
	}
	for w, sum := range sums {
		windows[fmt.Sprint(w, "=", sum)]++
	}
	for key, all := range byKey {
		slices.SortFunc(all, func(a, b measured) int { return cmp.Compare(a.millis, b.millis) })
		first, sum := int64(0), int64(0)
		for i, r := range all {
			if sum += r.n; i == 0 || r.millis-all[i-1].millis > disorderGap {
				first, sum = r.millis, r.n
			}
			if i == len(all)-1 || all[i+1].millis-r.millis > disorderGap {
				sessions[fmt.Sprint(key, "@", first, "-", r.millis, "=", sum)]++
			}
			for _, other := range all[i+1:] {
				if other.millis-r.millis > disorderNear {
					break
				}
				if r.n%2 != other.n%2 {
					left, right := r.n, other.n
					if left%2 != 0 {
						left, right = right, left
					}
					pairs[fmt.Sprint(left, ",", right)]++
				}
			}
		}
	}
	return windows, sessions, pairs, late
}

// However records are shuffled, closed windows, sessions and joins are what a batch makes of the records that are in time, each result
// once; and every record that is not is among the late ones, once for each step. Shuffled no further than the grace, none is late.
func TestDisorder(t *testing.T) {
	t.Parallel()
	seeds, records := reliability.Figure(8, 200), reliability.Figure(2_000, 100_000)
	kinds := []disorder{{10, 20}, {1000, 2000}, {1000, 300}, {math.MaxInt64, 2000}}
	for seed := range seeds {
		d := kinds[seed%len(kinds)]
		t.Run(fmt.Sprintf("seed=%d/%s", seed, d), func(t *testing.T) {
			t.Parallel()
			checkDisorder(t, inDisorder(rand.New(rand.NewPCG(uint64(seed), 23)), records, d), d)
		})
	}
}

func checkDisorder(t *testing.T, records []measured, d disorder) {
	left, right := stream.NewTopic("left", serde.Int64, serde.Int64), stream.NewTopic("right", serde.Int64, serde.Int64)
	results, late := stream.NewTopic("results", serde.Int64, serde.String), stream.NewTopic("late", serde.Int64, serde.String)
	sums := state.NewWindowStore("sums", serde.Int64, serde.Int64)
	spans := state.NewSessionStore("spans", serde.Int64, serde.Int64)
	joined := state.NewJoinStore("joined", serde.Int64, serde.Int64, serde.Int64)
	grace := time.Duration(d.grace) * time.Millisecond
	add := func(a, b int64) int64 { return a + b }
	tagged := func(tag string) func(int64) string {
		return func(n int64) string { return tag + strconv.FormatInt(n, 10) }
	}
	driver := streamtest.New(t, build(t, func(b *stream.Builder) {
		l, r := b.From(left), b.From(right)
		all := l.Merge(r)
		windows := all.Window(window.Hopping(disorderSize*time.Millisecond, disorderAdvance*time.Millisecond).Grace(grace)).Aggregate(sums, add)
		windows.OnClose().MapRecord(func(r stream.Record[window.Key[int64], int64]) string {
			return fmt.Sprint("w", r.Key.Key, "@", r.Key.Window.Start.UnixMilli(), "=", r.Value)
		}).Rekey("windows", serde.Int64, serde.String, func(k window.Key[int64], _ string) int64 { return k.Key }).To(results)
		windows.LateWith(func(n int64, missed []window.Window) string {
			text := fmt.Sprint("window ", n)
			for _, w := range missed {
				text += fmt.Sprint(" ", w.Start.UnixMilli())
			}
			return text
		}).To(late)
		sessions := all.Sessions(window.Session(disorderGap*time.Millisecond).Grace(grace)).Aggregate(spans, add, add)
		sessions.OnClose().MapRecord(func(r stream.Record[window.Key[int64], int64]) string {
			return fmt.Sprint("s", r.Key.Key, "@", r.Key.Window.Start.UnixMilli(), "-", r.Key.Window.End.UnixMilli()-1, "=", r.Value)
		}).Rekey("sessions", serde.Int64, serde.String, func(k window.Key[int64], _ string) int64 { return k.Key }).To(results)
		sessions.Late().Map(tagged("session ")).To(late)
		pairs := l.JoinStream(r, window.Within(disorderNear*time.Millisecond).Grace(grace), joined, func(l, r int64) string { return fmt.Sprint("p", l, ",", r) })
		pairs.To(results)
		pairs.LateLeft().Merge(pairs.LateRight()).Map(tagged("join ")).To(late)
	}))
	for _, r := range records {
		topic := left
		if r.n%2 != 0 {
			topic = right
		}
		driver.Pipe(topic, r.key, r.n, time.UnixMilli(r.millis))
	}
	driver.Advance(time.UnixMilli(1 << 40))

	windows, sessions, pairs, lates := batch(records, d)
	gotBy := map[byte]found{'w': make(found), 's': make(found), 'p': make(found)}
	inSessions := int64(0)
	for _, v := range driver.Values(results) {
		if gotBy[v[0]][v[1:]]++; v[0] == 's' {
			_, sum, _ := strings.Cut(v, "=")
			n, err := strconv.ParseInt(sum, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			inSessions += n
		}
	}
	gotLate := make(found)
	for _, v := range driver.Values(late) {
		var n int64
		if _, err := fmt.Sscanf(v, "session %d", &n); err == nil {
			inSessions += n // late, but there
			if d.inTime() {
				t.Errorf("record %d is late for a session", n)
			}
			continue
		}
		gotLate[v]++
	}
	if d.inTime() && len(lates) > 0 {
		t.Fatalf("%d late records with a grace of %d ms for %d places", len(lates), d.grace, d.places)
	}
	want, got := []found{windows, pairs, lates}, []found{gotBy['w'], gotBy['p'], gotLate}
	if d.inTime() { // which sessions records out of time find closed depends on the order of arrival
		want, got = append(want, sessions), append(got, gotBy['s'])
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("windows, pairs, late records, sessions (-batch +stream):\n%.2000s", diff)
	}
	if n := int64(len(records)); inSessions != n*(n-1)/2 {
		t.Errorf("closed sessions and late records add up to %d, want %d: each record once", inSessions, n*(n-1)/2)
	}
	t.Logf("%d windows, %d sessions, %d pairs, %d late", len(windows), len(gotBy['s']), len(pairs), len(gotLate))
}
