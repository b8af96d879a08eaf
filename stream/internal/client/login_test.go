package client

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
)

// A client gets in by each mechanism with its password, and by none without.
func TestLogin(t *testing.T) {
	t.Parallel()
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(),
		kfake.Superuser("PLAIN", "app", "right"), kfake.Superuser("SCRAM-SHA-256", "app", "right"), kfake.Superuser("SCRAM-SHA-512", "app", "right"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	for _, mechanism := range []string{"", "SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"} {
		for _, password := range []string{"right", "wrong"} {
			login, err := NewLogin(mechanism, "app", password)
			if err != nil {
				t.Fatal(err)
			}
			cl, err := Conn{Seeds: fake.ListenAddrs(), Login: login}.open("test")
			if err != nil {
				t.Fatal(err)
			}
			if err := cl.Ping(t.Context()); (err == nil) != (password == "right") {
				t.Errorf("%q with the %s password: %v", mechanism, password, err)
			}
			cl.Close()
		}
	}
	if _, err := NewLogin("MD5", "app", "right"); err == nil || !strings.Contains(err.Error(), `"MD5", want one of SCRAM-SHA-512`) {
		t.Errorf("an unknown mechanism: %v", err)
	}
}
