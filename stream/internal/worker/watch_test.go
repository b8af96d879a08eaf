package worker

import (
	"strings"
	"testing"

	"github.com/riffle-stream/riffle/state"
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

// More partitions of a topic whose keys have state end the run; those of others are read.
func TestWatchPartitions(t *testing.T) {
	t.Parallel()
	v := newWatch([]Sub{{Inputs: []string{"keyed", "both"}, Stores: []state.Spec{{Name: "s"}}}, {Inputs: []string{"both"}}, {Inputs: []string{"plain"}}})
	topics := map[string]client.Topic{}
	grow := func(topic string) error {
		t := topics[topic]
		t.Partitions++
		topics[topic] = t
		return v.look(topics)
	}
	for _, name := range []string{"keyed", "both", "plain"} {
		topics[name] = client.Topic{Name: name, Partitions: 2}
	}
	if err := v.look(topics); err != nil {
		t.Fatal(err)
	}
	if err := grow("plain"); err != nil {
		t.Errorf("a topic without state has grown: %v", err)
	}
	for _, name := range []string{"keyed", "both"} {
		if err := grow(name); err == nil || !strings.Contains(err.Error(), name+" has 3 partitions, and had 2") {
			t.Errorf("topic %s has grown: %v", name, err)
		}
		topics[name] = client.Topic{Name: name, Partitions: 2}
	}
}
