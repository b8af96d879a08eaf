package state_test

import (
	"testing"

	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/state/statetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	statetest.Run(t, func(*testing.T) state.Backend { return state.NewMemory() })
}
