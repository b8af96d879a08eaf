package stream

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Another Kafka client in the process reaches the embedded broker.
func TestDial(t *testing.T) {
	t.Parallel()
	c := openCluster(t, Embedded(t.TempDir()))
	cl, err := kgo.NewClient(kgo.SeedBrokers("embedded:9092"), kgo.Dialer(c.Dial))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	for want, c := range map[string]*Cluster{
		"call Open first":                 Embedded(t.TempDir()),
		"reaches an embedded broker only": Kafka("127.0.0.1:9092"),
	} {
		if _, err := c.Dial(t.Context(), "tcp", "embedded:9092"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Dial: %v, want an error with %q", err, want)
		}
	}
}
