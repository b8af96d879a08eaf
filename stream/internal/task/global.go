package task

import (
	"encoding/binary"
	"sync"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// Global holds all partitions of a topic, of each key the latest value, for every task of an instance. It may be used
// concurrently.
type Global struct {
	mu struct {
		sync.RWMutex
		rows  map[string][]byte // eight bytes of milliseconds, then the value
		bytes int64
	}
}

// globalRowBytes is about what a row takes beside its key and its value.
const globalRowBytes = 64

// NewGlobal returns a table without rows.
func NewGlobal() *Global {
	g := &Global{}
	g.mu.rows = make(map[string][]byte)
	return g
}

// Apply takes records over, in the order of their partition. A null value deletes a row; a null key has no place in a
// table and is left out.
func (g *Global) Apply(records []client.Record) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := range records {
		r := &records[i]
		if r.Key == nil {
			continue
		}
		if old, ok := g.mu.rows[string(r.Key)]; ok {
			g.mu.bytes -= int64(len(r.Key)+len(old)) + globalRowBytes
			delete(g.mu.rows, string(r.Key))
		}
		if r.Value == nil {
			continue
		}
		row := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(r.Value)), uint64(r.Timestamp))
		row = append(row, r.Value...)
		g.mu.rows[string(r.Key)] = row
		g.mu.bytes += int64(len(r.Key)+len(row)) + globalRowBytes
	}
}

// Get returns the value of a key, and the time of its record in milliseconds. The value stays as it is.
func (g *Global) Get(key []byte) (value []byte, millis int64, found bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	row, found := g.mu.rows[string(key)]
	if !found {
		return nil, 0, false
	}
	return row[8:], int64(binary.BigEndian.Uint64(row)), true
}

// Bytes is about how much memory the table takes.
func (g *Global) Bytes() int64 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.mu.bytes
}

// Len is the number of rows.
func (g *Global) Len() int {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return len(g.mu.rows)
}
