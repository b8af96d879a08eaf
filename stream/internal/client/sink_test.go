package client

import "testing"

// An empty key or value is not null, also where it is the first that a sink sends: nulls go to other partitions.
func TestEmptyIsNotNull(t *testing.T) {
	t.Parallel()
	s := (&Client{}).NewSink()
	for range 2 {
		if b := s.copy([]byte{}); b == nil {
			t.Error("an empty key becomes null")
		}
		if b := s.copy(nil); b != nil {
			t.Errorf("null becomes %q", b)
		}
		s.Reset()
	}
}
