package stream

import (
	"strings"
	"testing"
)

// What is wrong with a login is said when the cluster is opened.
func TestSecureMistakes(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]Security{
		`user "app" of the cluster has no password`: {User: "app"},
		`there is no mechanism "MD5"`:               {User: "app", Password: "x", Mechanism: "MD5"},
	} {
		if err := Kafka("127.0.0.1:1").Secure(s).Open(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s.User, err, want)
		}
	}
	if err := Kafka("127.0.0.1:1").Secure(Security{}).Open(t.Context()); err != nil {
		t.Errorf("nothing to prove: %v", err)
	}
}
