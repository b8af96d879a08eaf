package stream

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream/internal/client"
)

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 3, "things")
		things := NewTopic("things", serde.Bytes, serde.Bytes).EventTime(func(v []byte) time.Time { return time.UnixMilli(int64(len(v))) })
		at := time.UnixMilli(123456).UTC()
		in := []Record[[]byte, []byte]{
			{Key: []byte("a"), Value: []byte("12345"), Headers: []Header{{"h", []byte("x")}, {"h", nil}}},
			{Key: []byte("a"), Value: nil, Time: at},
			{Key: []byte{}, Value: []byte{}, Time: at},
			{Key: nil, Value: []byte("no key"), Time: at},
		}
		write(t, c, things, in...)
		got := make(map[string]Record[[]byte, []byte])
		for _, r := range read(t, c, things) {
			got[fmt.Sprintf("%q %v/%q %v", r.Key, r.Key == nil, r.Value, r.Value == nil)] = r
		}
		if len(got) != len(in) {
			t.Fatalf("read %d different records, wrote %d: %v", len(got), len(in), got)
		}
		for i, r := range in {
			back, ok := got[fmt.Sprintf("%q %v/%q %v", r.Key, r.Key == nil, r.Value, r.Value == nil)]
			if !ok {
				t.Errorf("record %d is missing: null and empty must stay what they are", i)
				continue
			}
			if diff := cmp.Diff(r.Headers, back.Headers); diff != "" {
				t.Errorf("headers of record %d (-want +got):\n%s", i, diff)
			}
		}
		// The topic's event time rules when it is read as well, where there is a value.
		if r := got[`"a" false/"12345" false`]; !r.Time.Equal(time.UnixMilli(5)) {
			t.Errorf("time is %v, want the event time", r.Time)
		}
		if r := got[`"a" false/"" true`]; !r.Time.Equal(at) {
			t.Errorf("time of a tombstone is %v, want %v", r.Time, at)
		}
	})
}

// What Java's producer does with these keys, from Apache Kafka's own tests of murmur2 and three partitions more.
func TestPartitionsAsJavaDoes(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 7, "lines")
	// Murmur2 of the key, masked to a positive number, modulo 7.
	want := map[string]int32{"21": -973932308 & 0x7fffffff % 7, "foobar": -790332482 & 0x7fffffff % 7, "a-little-bit-long-string": -985981536 & 0x7fffffff % 7}
	var in []Record[string, string]
	for key := range want {
		in = append(in, Record[string, string]{Key: key})
	}
	write(t, c, lines, in...)
	got := make(map[string]int32)
	for _, r := range read(t, c, lines) {
		got[r.Key] = r.Partition
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("partitions (-want +got):\n%s", diff)
	}
}

func TestWriterErrors(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	if _, err := NewWriter(t.Context(), c, lines, WriterConfig{}); !errors.Is(err, ErrUnknownTopic) ||
		!strings.Contains(err.Error(), "riffle topic create lines") {
		t.Errorf("writer of an unknown topic: %v", err)
	}
	createTopics(t, c, 1, "lines")
	w, err := NewWriter(t.Context(), c, lines, WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), Record[string, string]{Value: strings.Repeat("x", 2<<20)}); !errors.Is(err, client.ErrRecordTooLarge) {
		t.Errorf("a record of 2 MiB: %v", err)
	}
	if err := w.Write(t.Context(), Record[string, string]{Value: "fine"}); err != nil {
		t.Errorf("a record after one that was too large: %v", err)
	}
	if err := w.Flush(t.Context()); err != nil {
		t.Errorf("flush: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if err := w.Write(t.Context(), Record[string, string]{}); err == nil {
		t.Error("a closed writer took a record")
	}
	if n := len(read(t, c, lines)); n != 1 {
		t.Errorf("the topic holds %d records, want 1", n)
	}
}

// A full buffer makes Write wait, and the end of its context makes it give up.
func TestWriterIsBounded(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	createTopics(t, c, 1, "lines")
	w, err := NewWriter(t.Context(), c, lines, WriterConfig{MaxBufferedRecords: 10, Linger: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	// With a full buffer nothing lingers: 1000 records pass through room for 10.
	for i := range 1000 {
		if err := w.Write(t.Context(), Record[string, string]{Key: "k", Value: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for i, r := range read(t, c, lines) {
		if r.Value != fmt.Sprint(i) {
			t.Fatalf("record %d is %q: order is lost", i, r.Value)
		}
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	c := startFake(t)
	for _, err := range c.Read(t.Context(), lines) {
		if !errors.Is(err, ErrUnknownTopic) {
			t.Errorf("read of an unknown topic: %v", err)
		}
	}
	createTopics(t, c, 1, "counts")
	write(t, c, NewTopic("counts", serde.String, serde.String),
		Record[string, string]{Key: "a", Value: "12345678"}, Record[string, string]{Key: "b", Value: "short"}, Record[string, string]{Key: "c", Value: "87654321"})
	var keys []string
	for r, err := range c.Read(t.Context(), counts) {
		if err != nil {
			keys = append(keys, fmt.Sprintf("bad at %d", r.Offset))
			if !strings.Contains(err.Error(), "topic counts partition 0 offset 1: value") {
				t.Errorf("error %q does not say where", err)
			}
			continue
		}
		keys = append(keys, r.Key)
	}
	if diff := cmp.Diff([]string{"a", "bad at 1", "c"}, keys); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
	for range c.Read(t.Context(), counts) {
		break // must not yield again, nor leak
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range c.Read(ctx, counts) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("read with a context that has ended: %v", err)
		}
	}
}

func TestCreateTopics(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, c *Cluster) {
		createTopics(t, c, 2, "a", "b")
		createTopics(t, c, 2, "b", "c")
		err := c.CreateTopics(t.Context(), 3, "c", "d")
		if err == nil || !strings.Contains(err.Error(), "topic c exists with 2 partitions, not 3") {
			t.Errorf("another number of partitions: %v", err)
		}
		want := map[string]int32{"a": 2, "b": 2, "c": 2, "d": 3}
		if diff := cmp.Diff(want, describe(t, c, "a", "b", "c", "d", "e")); diff != "" {
			t.Errorf("partitions (-want +got):\n%s", diff)
		}
		if err := c.CreateTopics(t.Context(), 0, "e"); err == nil {
			t.Error("a topic without partitions was taken")
		}
	})
}

// The broker of an embedded cluster lives while anybody uses it.
func TestEmbeddedIsCounted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := Embedded(dir)
	createTopics(t, c, 1, "lines") // opens and closes by itself
	if err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	w, err := NewWriter(t.Context(), c, lines, WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(t.Context(), Record[string, string]{Value: "still there"}); err != nil {
		t.Fatal(err)
	}
	if err := Embedded(dir).Open(t.Context()); err == nil {
		t.Error("a second broker opened the directory that is in use")
	} else if !strings.Contains(err.Error(), filepath.Join(dir, "broker")) {
		t.Errorf("error %q does not name the directory", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err == nil {
		t.Error("Close without Open returned no error")
	}
	// Nobody holds it any more: another cluster value can have it.
	other := Embedded(dir)
	if got := read(t, other, lines); len(got) != 1 {
		t.Errorf("%d records after a restart, want 1", len(got))
	}
	if _, err := os.Stat(filepath.Join(dir, "broker")); err != nil {
		t.Error(err)
	}
}
