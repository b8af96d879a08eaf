package group

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	if err := (Config{}).Validate(); err != nil {
		t.Errorf("the zero Config is invalid: %v", err)
	}
	bad := Config{
		InitialRebalanceDelay: -1,
		MinSessionTimeout:     time.Minute,
		MaxSessionTimeout:     time.Second,
		NewMemberJoinTimeout:  -1,
		MaxMembers:            -1,
		MaxMetadataBytes:      1 << 20,
	}
	err := bad.Validate()
	for _, field := range []string{"InitialRebalanceDelay", "session timeouts", "NewMemberJoinTimeout", "MaxMembers", "MaxMetadataBytes"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("Validate = %v, does not name %s", err, field)
		}
	}
}

// A join whose fields do not fit a record must not get as far as the log.
func TestJoinRefusesWhatNoRecordHolds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxStringBytes+1)
	good := JoinRequest{
		SessionTimeout: 10 * time.Second,
		ProtocolType:   "consumer",
		Protocols:      []Protocol{{Name: "range"}},
		NewMemberID:    "m",
	}
	tests := []struct {
		name   string
		change func(*JoinRequest)
		want   error
	}{
		{"instance id", func(r *JoinRequest) { r.InstanceID = long[:maxInstanceIDBytes+1] }, ErrInvalidRequest},
		{"client id", func(r *JoinRequest) { r.ClientID = long }, ErrInvalidRequest},
		{"client host", func(r *JoinRequest) { r.ClientHost = long }, ErrInvalidRequest},
		{"protocol type", func(r *JoinRequest) { r.ProtocolType = long }, ErrInvalidRequest},
		{"member id", func(r *JoinRequest) { r.NewMemberID = long }, ErrInvalidRequest},
		{"protocol", func(r *JoinRequest) { r.Protocols = []Protocol{{Name: long}} }, ErrInvalidRequest},
		{"protocols", func(r *JoinRequest) { r.Protocols = make([]Protocol, maxProtocols+1) }, ErrInconsistentProtocol},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, r := New("g", Config{}), good
			tt.change(&r)
			eff := g.Join(epoch, 1, r)
			if len(eff.Replies) != 1 || !errors.Is(eff.Replies[0].Join.Err, tt.want) {
				t.Errorf("Join = %+v, want %v", eff.Replies, tt.want)
			}
			if !g.Disposable() {
				t.Error("the refused join left something behind")
			}
		})
	}
}

// Equal inputs must give equal outputs: nothing may depend on the order of a map.
func TestEqualInputsGiveEqualOutputs(t *testing.T) {
	t.Parallel()
	run := func() []Effects {
		var all []Effects
		g := New("g", Config{})
		for i := range 20 {
			all = append(all, g.Join(epoch, Token(i), JoinRequest{
				NewMemberID: fmt.Sprint("m", i), InstanceID: fmt.Sprint("i", i), ProtocolType: "consumer",
				SessionTimeout: time.Duration(6+i) * time.Second, RebalanceTimeout: time.Minute,
				Protocols: []Protocol{{Name: "a"}, {Name: "b"}, {Name: fmt.Sprint("p", i)}},
			}))
		}
		for i := range 60 {
			_, eff := g.Tick(epoch.Add(time.Duration(i) * 2 * time.Second))
			all = append(all, eff)
		}
		return all
	}
	first := run()
	for range 5 {
		if diff := cmp.Diff(first, run(), cmp.Comparer(func(a, b error) bool { return errors.Is(a, b) })); diff != "" {
			t.Fatalf("effects differ (-first +next):\n%s", diff)
		}
	}
}
