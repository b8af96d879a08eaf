package serde_test

import (
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/riffle-stream/riffle/serde"
)

// TestHostileCounts decodes values that claim to hold far more than their bytes can:
// that must be an error, and cost little.
func TestHostileCounts(t *testing.T) {
	type strings struct {
		Tags []string `avro:"tags"`
	}
	type empties struct {
		Tags []struct{} `avro:"tags"`
	}
	const stringsSchema = `{"type": "record", "name": "r", "fields": [{"name": "tags", "type": {"type": "array", "items": "string"}}]}`
	const nullsSchema = `{"type": "record", "name": "r", "fields": [{"name": "tags", "type": {"type": "array", "items": "null"}}]}`
	const mapSchema = `{"type": "record", "name": "r", "fields": [{"name": "tags", "type": {"type": "map", "values": "string"}}]}`
	const bytesSchema = `{"type": "record", "name": "r", "fields": [{"name": "tags", "type": "bytes"}]}`
	decoders := map[string]func([]byte) error{
		"strings": func(b []byte) error { _, err := serde.Avro[strings]().Decode(b); return err },
		"empties": func(b []byte) error { _, err := serde.Avro[empties]().Decode(b); return err },
	}
	for name, schema := range map[string]string{"map strings": stringsSchema, "map nulls": nullsSchema, "map map": mapSchema, "map bytes": bytesSchema} {
		s, err := serde.AvroMap(schema)
		if err != nil {
			t.Fatal(err)
		}
		decoders[name] = func(b []byte) error { _, err := s.Decode(b); return err }
	}
	for name, decode := range decoders {
		for _, count := range []int64{1 << 24, 1 << 31, 1 << 40, 1<<62 - 1, -1 << 40} {
			b := binary.AppendVarint(nil, count)
			if count < 0 {
				b = binary.AppendVarint(b, 1<<30) // a negative count is followed by a size
			}
			b = append(b, 2, 'x')
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := decode(b)
			runtime.ReadMemStats(&after)
			if grew := after.TotalAlloc - before.TotalAlloc; err == nil || grew > 1<<20 {
				t.Errorf("%s: %d elements in %d bytes: error %v, allocated %d bytes", name, count, len(b), err, grew)
			}
		}
	}
}
