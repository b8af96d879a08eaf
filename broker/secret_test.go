package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// However a secret is printed, it does not show.
func TestSecretDoesNotShow(t *testing.T) {
	t.Parallel()
	const planted = "hunter2"
	cfg := Config{SASL: SASLConfig{Users: []User{{"alice", planted}}}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%T %v"} {
		fmt.Fprintf(&out, verb+"\n", Secret(planted))
		fmt.Fprintf(&out, verb+"\n", cfg)
		fmt.Fprintf(&out, verb+"\n", &cfg)
		fmt.Fprintf(&out, verb+"\n", cfg.SASL.Users)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("m", "secret", Secret(planted), "user", cfg.SASL.Users[0], "users", cfg.SASL.Users)
	}
	text, err := json.Marshal(cfg.SASL)
	fmt.Fprintln(&out, string(text), errors.Join(err, fmt.Errorf("%w: %v", errLogin, Secret(planted))))
	if hex := fmt.Sprintf("%x", planted); strings.Contains(out.String(), planted) || strings.Contains(strings.ToLower(out.String()), hex) {
		t.Errorf("it shows:\n%s", out.String())
	}
	if !strings.Contains(out.String(), redacted) {
		t.Error("nothing was redacted")
	}
}
