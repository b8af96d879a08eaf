package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"
)

// What consume writes in JSON, produce reads as the same record: any bytes, and null is not empty.
func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	format := choice{value: "json"}
	rapid.Check(t, func(t *rapid.T) {
		nullable := rapid.OneOf(rapid.Just[[]byte](nil), rapid.SliceOf(rapid.Byte()), rapid.Map(rapid.String(), func(s string) []byte { return []byte(s) }))
		want := &kgo.Record{
			Key: nullable.Draw(t, "key"), Value: nullable.Draw(t, "value"),
			Timestamp: time.UnixMilli(rapid.Int64Range(1, 1<<41).Draw(t, "timestamp")),
		}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			want.Headers = append(want.Headers, kgo.RecordHeader{Key: rapid.String().Draw(t, "name"), Value: nullable.Draw(t, "header")})
		}
		var line bytes.Buffer
		out, err := newRecordOutput(&line, "", true)
		if err != nil {
			t.Fatal(err)
		}
		if err := out.write(nil, want); err != nil {
			t.Fatal(err)
		}
		if err := out.flush(); err != nil {
			t.Fatal(err)
		}
		text := line.String()
		source, err := (&recordInput{format: &format}).open(&line)
		if err != nil {
			t.Fatal(err)
		}
		got, err := source.ReadRecord()
		if err != nil {
			t.Fatalf("read %s: %v", text, err)
		}
		type plain struct {
			Key, Value []byte
			Timestamp  int64
			Headers    []kgo.RecordHeader
		}
		of := func(r *kgo.Record) plain { return plain{r.Key, r.Value, r.Timestamp.UnixMilli(), r.Headers} }
		if diff := cmp.Diff(of(want), of(got)); diff != "" {
			t.Fatalf("%s (-want +got):\n%s", text, diff)
		}
	})
}
