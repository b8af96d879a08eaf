package catalog

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// The table is searched by name and served as it stands.
func TestSpecs(t *testing.T) {
	t.Parallel()
	all := TopicTable.Specs()
	if !slices.IsSortedFunc(all, func(a, b Spec) int { return cmp.Compare(a.Name, b.Name) }) {
		t.Error("the configs do not ascend by name")
	}
	for i, s := range all {
		if i > 0 && s.Name == all[i-1].Name {
			t.Errorf("%s is there twice", s.Name)
		}
		if err := TopicTable.Validate(map[string]string{s.Name: s.Default}); err != nil {
			t.Errorf("the default is refused: %v", err)
		}
		if s.Doc == "" || s.Doc[len(s.Doc)-1] != '.' {
			t.Errorf("%s: documentation %q, want a sentence", s.Name, s.Doc)
		}
	}
	// What clients set on their internal topics, and what they look for.
	for name, want := range map[string]string{
		"cleanup.policy": "delete", "compression.type": "producer", "max.message.bytes": "1048588",
		"message.timestamp.type": "CreateTime", "min.insync.replicas": "1", "retention.bytes": "-1",
		"retention.ms": "604800000", "segment.bytes": "1073741824", "segment.ms": "604800000",
		"delete.retention.ms": "86400000", "unclean.leader.election.enable": "false",
		"min.cleanable.dirty.ratio": "0.5", "riffle.flush": "each",
	} {
		s, ok := TopicTable.Lookup(name)
		if !ok || s.Default != want {
			t.Errorf("%s: default %q, %v, want %q", name, s.Default, ok, want)
		}
	}
}

func TestValidateConfigs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name         string
		right, wrong []string
	}{
		{"cleanup.policy", []string{"delete", "compact", "compact,delete", "delete, compact"}, []string{"", "Delete", "delete,", "delete,delete", "keep"}},
		{"retention.ms", []string{"-1", "0", "9223372036854775807", " 5 "}, []string{"", "-2", "1.5", "7d", "9223372036854775808"}},
		{"segment.bytes", []string{"1024", "2147483647"}, []string{"1023", "2147483648"}},
		{"max.message.bytes", []string{"0", "1"}, []string{"-1"}},
		{"min.insync.replicas", []string{"1", "2"}, []string{"0"}},
		{"message.timestamp.type", []string{"CreateTime", "LogAppendTime"}, []string{"createtime", "EventTime"}},
		{"compression.type", []string{"producer", "zstd", "uncompressed"}, []string{"none", "ZSTD", "brotli"}},
		{"min.cleanable.dirty.ratio", []string{"0", "1", "0.25"}, []string{"-0.1", "1.1", "NaN", "half"}},
		{"compression.gzip.level", []string{"-1", "1", "9"}, []string{"0", "10"}},
		{"preallocate", []string{"true", "FALSE"}, []string{"1", "yes"}},
		{"remote.storage.enable", []string{"false"}, []string{"true"}},
		{"riffle.flush", []string{"each", "os"}, []string{"", "never", "OS"}},
		{"leader.replication.throttled.replicas", []string{""}, []string{"*", "0:1"}},
	} {
		for _, v := range c.right {
			if err := TopicTable.Validate(map[string]string{c.name: v}); err != nil {
				t.Errorf("%s=%q: %v", c.name, v, err)
			}
		}
		for _, v := range c.wrong {
			err := TopicTable.Validate(map[string]string{c.name: v})
			var wrong *ConfigError
			if !errors.As(err, &wrong) || !errors.Is(err, ErrInvalidConfig) || wrong.Name != c.name || wrong.Reason == "" {
				t.Errorf("%s=%q: %v, want a ConfigError that says what is wanted", c.name, v, err)
			}
		}
	}
}

func TestTopicConfig(t *testing.T) {
	t.Parallel()
	want := TopicConfig{
		Delete: true, Flush: FlushEach, MaxMessageBytes: 1048588, SegmentBytes: 1 << 30, IndexIntervalBytes: 4096,
		SegmentAge: 7 * 24 * time.Hour, RetentionBytes: -1, Retention: 7 * 24 * time.Hour,
		TimestampBefore: math.MaxInt64, TimestampAfter: time.Hour, MinInsyncReplicas: 1,
		DeleteRetention: 24 * time.Hour, MaxCompactionLag: math.MaxInt64, MinCleanableDirtyRatio: 0.5,
	}
	if diff := gocmp.Diff(want, Topic{}.Config()); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	got := Topic{Configs: map[string]string{
		"cleanup.policy": "compact, delete", "riffle.flush": "os", "max.message.bytes": "1", "segment.bytes": "2048",
		"index.interval.bytes": "0", "segment.ms": "1", "segment.jitter.ms": "2", "retention.bytes": "3", "retention.ms": "-1",
		"message.timestamp.type": "LogAppendTime", "message.timestamp.before.max.ms": "4", "message.timestamp.after.max.ms": "5",
		"min.insync.replicas": "6", "delete.retention.ms": "7", "min.compaction.lag.ms": "8", "max.compaction.lag.ms": "9",
		"min.cleanable.dirty.ratio": "0.25",
	}}.Config()
	want = TopicConfig{
		Delete: true, Compact: true, Flush: FlushOS, MaxMessageBytes: 1, SegmentBytes: 2048,
		SegmentAge: time.Millisecond, SegmentJitter: 2 * time.Millisecond, RetentionBytes: 3, Retention: -1, LogAppendTime: true,
		TimestampBefore: 4 * time.Millisecond, TimestampAfter: 5 * time.Millisecond, MinInsyncReplicas: 6,
		DeleteRetention: 7 * time.Millisecond, MinCompactionLag: 8 * time.Millisecond, MaxCompactionLag: 9 * time.Millisecond,
		MinCleanableDirtyRatio: 0.25,
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("all set (-want +got):\n%s", diff)
	}
	// A topic that did not come from a catalog.
	if got := (Topic{Configs: map[string]string{"segment.ms": "soon"}}).Config().SegmentAge; got != 7*24*time.Hour {
		t.Errorf("a value that does not parse counts as %v, want the default", got)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	values := Topic{Configs: map[string]string{"retention.ms": "-1"}}.Describe()
	if len(values) != len(TopicTable.Specs()) {
		t.Fatalf("%d values, want %d", len(values), len(TopicTable.Specs()))
	}
	for _, v := range values {
		want, source := v.Default, SourceDefault
		if v.Name == "retention.ms" {
			want, source = "-1", SourceTopic
		}
		if v.Value != want || v.Source != source {
			t.Errorf("%s = %q from %d, want %q from %d", v.Name, v.Value, v.Source, want, source)
		}
	}
}
