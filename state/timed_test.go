package state_test

import (
	"strings"
	"testing"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
)

// A value keeps its time, and bytes too short for one are refused.
func TestTimed(t *testing.T) {
	t.Parallel()
	_, values := state.NewTableStore("table", serde.String, serde.String).Serdes()
	want := state.Timed[string]{Value: "v", Time: time.UnixMilli(-1500).UTC()}
	b, err := values.Encode([]byte("kept"), want)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := values.Decode(b[4:]); err != nil || got != want {
		t.Errorf("Decode = %v, %v, want %v", got, err, want)
	}
	if _, err := values.Decode(make([]byte, 7)); err == nil || !strings.Contains(err.Error(), "timed(string): 7 bytes") {
		t.Errorf("Decode of 7 bytes: %v", err)
	}
}

// The mistake of a value's serde is the store's.
func TestTableStoreOfABadSerde(t *testing.T) {
	t.Parallel()
	err := state.NewTableStore("table", serde.String, serde.Serde[string]{Name: "none"}).Spec().Err
	if err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("Spec().Err = %v", err)
	}
}
