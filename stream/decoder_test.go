package stream

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/serde"
)

// Values are what their bytes were, whatever becomes of those and of other values.
func TestDecoder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		decode := decoder[[]byte]{serde: serde.Bytes}
		sizes := rapid.OneOf(rapid.IntRange(0, 10), rapid.IntRange(0, chunkBytes/4+2))
		var values, want [][]byte
		for i := range rapid.IntRange(1, 40).Draw(t, "values") {
			in := bytes.Repeat([]byte{byte(i)}, sizes.Draw(t, "size"))
			v, err := decode.decode(in)
			if err != nil || v == nil || len(v) != len(in) {
				t.Fatalf("%d bytes became %v, %v", len(in), v, err)
			}
			want = append(want, bytes.Clone(in))
			clear(in)
			values = append(values, v)
		}
		for i, v := range values {
			if !bytes.Equal(v, want[i]) {
				t.Fatalf("value %d is %v, want %v", i, v, want[i])
			}
			_ = append(v, 0xff) // must not reach the next one
		}
	})
}

// Short values cost a fraction of an allocation.
func TestDecoderAllocations(t *testing.T) {
	key := []byte("a key of 16 byte")
	decode := decoder[string]{serde: serde.String}
	var kept string
	if n := testing.AllocsPerRun(1000, func() { kept, _ = decode.decode(key) }); n >= 1 {
		t.Errorf("%v allocations for a key", n)
	}
	if !strings.HasPrefix(kept, "a key") {
		t.Errorf("decoded %q", kept)
	}
}
