package consumer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"

	"github.com/riffle-stream/riffle/broker/group"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config is invalid: %v", err)
	}
	err := Config{SessionTimeout: -1, MaxMembers: -1}.Validate()
	for _, field := range []string{"SessionTimeout", "MaxMembers"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Validate = %v, does not name %s", err, field)
		}
	}
}

func TestRegexIsOfRE2AndBounded(t *testing.T) {
	t.Parallel()
	for pattern, ok := range map[string]bool{
		"":                                   true,
		"orders":                             true,
		"a|b":                                true,
		`\p{Greek}+`:                         true,
		"(?i)orders":                         true,
		"(":                                  false,
		"a)|(b":                              false, // would be fine in parentheses
		`(a)\1`:                              false, // RE2 has no back-references
		"(?=a)":                              false,
		"a{1001}":                            false,
		strings.Repeat("a", maxRegexBytes):   true,
		strings.Repeat("a", maxRegexBytes+1): false,
	} {
		if _, err := compile(pattern); (err == nil) != ok || err != nil && !errors.Is(err, ErrInvalidRegex) {
			t.Errorf("compile(%.20q) = %v, want ok %v", pattern, err, ok)
		}
	}
	for name, want := range map[string]bool{"a": true, "b": true, "ab": false, "ba": false, "b\n": false} {
		re, err := compile("a|b")
		if err != nil || re.MatchString(name) != want {
			t.Errorf("a|b matches %q: %v, %v, want %v", name, !want, err, want)
		}
	}
}

// What does not fit the key of a record must not get as far as the log.
func TestIDsThatNoRecordHolds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxIDBytes+1)
	for _, r := range []Request{
		{MemberID: ""},
		{MemberID: long},
		{MemberID: "m", InstanceID: long},
	} {
		r.Topics, r.Owned = []string{"t"}, map[Partition]struct{}{}
		g := New("g", Config{})
		if _, err := g.Heartbeat(began, &fakeTopics{}, r); !errors.Is(err, group.ErrInvalidRequest) || len(g.Changes()) != 0 {
			t.Errorf("Heartbeat of a member id of %d bytes, instance id of %d: %v, %d records",
				len(r.MemberID), len(r.InstanceID), err, len(g.Changes()))
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	g := New("g", Config{})
	topics := &fakeTopics{}
	topics.set("t", 3)
	regex := "t.*"
	if _, err := g.Heartbeat(began, topics, Request{
		MemberID: "m", InstanceID: "i", ClientID: "c", ClientHost: "/h", Topics: []string{"t"}, Regex: &regex, Owned: map[Partition]struct{}{},
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range g.Changes() {
		for n := range len(r.Key) {
			if _, err := Decode(r.Key[:n], r.Value); !errors.Is(err, group.ErrCorruptRecord) {
				t.Errorf("key %x cut to %d: %v", r.Key, n, err)
			}
		}
		for n := range len(r.Value) {
			if _, err := Decode(r.Key, r.Value[:n:n]); !errors.Is(err, group.ErrCorruptRecord) {
				t.Errorf("value %x cut to %d: %v", r.Value, n, err)
			}
		}
		if _, err := Decode(r.Key, kbin.AppendInt16(nil, 1)); !errors.Is(err, group.ErrUnknownRecord) {
			t.Errorf("a value of version 1: %v", err)
		}
	}
	if _, err := Decode(g.key(currentKey, ""), nil); !errors.Is(err, group.ErrCorruptRecord) {
		t.Errorf("a member without an id: %v", err)
	}
	if Known([]byte{0}) || Known([]byte{0, 2, 0, 1}) || Known([]byte{0, 16, 0, 1}) {
		t.Error("keys of other kinds are known")
	}
}

// A log that has lost records must not make two members holders of one partition.
func TestRestoreOfDamagedLog(t *testing.T) {
	t.Parallel()
	topics, log := &fakeTopics{}, store{}
	topics.set("t", 2)
	g := New("g", Config{})
	beat := func(id string, epoch int32, owned ...int32) Reply {
		r := Request{MemberID: id, Epoch: epoch, ClientHost: "/h", RebalanceTimeout: time.Minute, Topics: []string{"t"}, Owned: map[Partition]struct{}{}}
		for _, i := range owned {
			r.Owned[Partition{topics.byName["t"].ID, i}] = struct{}{}
		}
		reply, err := g.Heartbeat(began, topics, r)
		if err != nil {
			t.Fatal(err)
		}
		return reply
	}
	beat("m1", 0)
	log.write(g.Changes())
	g.Stored()
	beat("m2", 0)
	beat("m1", 1)
	beat("m1", 1, 0)
	beat("m2", 2)
	for _, r := range g.Changes() {
		if string(r.Key) != string(g.key(currentKey, "m1")) { // that m1 gave up a partition is lost
			log.write([]group.Record{r})
		}
	}
	restored := log.restore(t, Config{}, began)
	holders := map[Partition]string{}
	for _, m := range restored.Describe().Members {
		for _, p := range m.Assigned {
			if other, twice := holders[p]; twice {
				t.Errorf("%s and %s both have %v", other, m.ID, p)
			}
			holders[p] = m.ID
		}
	}
	if restored.Len() != 1 || restored.State() != Assigning {
		t.Errorf("%d members, %v, want one of the two and another assignment", restored.Len(), restored.State())
	}

	// Without what it said about itself a member cannot go on.
	delete(log, string(g.key(memberKey, "m1")))
	delete(log, string(g.key(memberKey, "m2")))
	if restored := log.restore(t, Config{}, began); restored.Len() != 0 {
		t.Errorf("%d members without metadata", restored.Len())
	}
}
