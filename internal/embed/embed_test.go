package embed

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A client reaches the broker through Dial, under an address that does not exist.
func TestDial(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b, err := Start(dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(Addr), kgo.Dialer(b.Dial))
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Ping(t.Context()); err != nil {
		t.Errorf("ping: %v", err)
	}
	cl.Close()
	if _, err := Start(dir, nil, nil); err == nil || !strings.Contains(err.Error(), "embed: ") {
		t.Errorf("a second broker in the directory: %v", err)
	}
	if err := b.Close(t.Context()); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := b.Dial(t.Context(), "tcp", Addr); err == nil {
		t.Error("a closed broker was reached")
	}
}
