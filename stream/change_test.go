package stream

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/serde"
)

// Every change comes back as it was written.
func TestChangeSerde(t *testing.T) {
	t.Parallel()
	s := changeSerde(serde.String)
	for _, c := range []Change[string]{
		{Old: some("old")}, {New: some("new")}, {some("old"), some("new")}, {some(""), some("")}, {Old: some("")},
	} {
		b, err := s.Encode([]byte("kept"), c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.Decode(b[4:])
		if diff := cmp.Diff(c, got); diff != "" || err != nil {
			t.Errorf("decoded (-want +got): %v\n%s", err, diff)
		}
	}
}

// Whatever bytes a repartition topic holds: they are a change that can be written again, or an error.
func FuzzChangeSerde(f *testing.F) {
	for _, b := range []string{"", "\x00", "\x01old", "\x02new", "\x03\x03oldnew", "\x03\x09old", "\x04", "\x03\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"} {
		f.Add([]byte(b))
	}
	s := changeSerde(serde.String)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := s.Decode(b)
		if err != nil {
			return
		}
		again, err := s.Encode(nil, c)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := s.Decode(again); err != nil || got != c {
			t.Errorf("%q decodes to %v, and what that is written as to %v, %v", b, c, got, err)
		}
	})
}
