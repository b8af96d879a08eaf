package task

import (
	"testing"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// An input that ends in the end of a transaction is read to its end when that was polled.
func TestInputBehindTransaction(t *testing.T) {
	t.Parallel()
	in := &input{}
	in.add(client.Batch{Records: []client.Record{{Offset: 0}, {Offset: 1}}, Next: 2, End: 3})
	in.advance()
	in.advance()
	if !in.lags() {
		t.Error("an input does not lag of which one offset was not polled")
	}
	in.add(client.Batch{Next: 3, End: 3})
	if in.lags() {
		t.Error("an input lags that was polled to its end")
	}
}
