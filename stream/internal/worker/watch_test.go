package worker

import (
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// A topic that is gone is missed a few times before that is an error; one that was made again is one at once.
func TestWatch(t *testing.T) {
	t.Parallel()
	both := map[string]client.Topic{"a": {ID: [16]byte{1}}, "b": {ID: [16]byte{2}}}
	again := map[string]client.Topic{"a": {ID: [16]byte{3}}, "b": {ID: [16]byte{2}}}
	one := map[string]client.Topic{"b": {ID: [16]byte{2}}}
	for _, tt := range []struct {
		name  string
		looks []map[string]client.Topic
		want  string // error of the last look
	}{
		{"there", []map[string]client.Topic{both, both, both, both}, ""},
		{"missed now and then", []map[string]client.Topic{both, one, one, both, one, one}, ""},
		{"deleted", []map[string]client.Topic{both, one, one, one}, "input topic a was deleted"},
		{"made again", []map[string]client.Topic{both, one, again}, "a was deleted and made again"},
	} {
		v := newWatch([]Sub{{Inputs: []string{"b", "a"}}, {Inputs: []string{"b"}}})
		var err error
		for i, found := range tt.looks {
			if err = v.look(found); err != nil && i < len(tt.looks)-1 {
				t.Errorf("%s: look %d returned %v", tt.name, i, err)
			}
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: the last look returned %v, want %q", tt.name, err, tt.want)
		}
	}
}
