package changelog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/riffle-stream/riffle/state"
)

// Topic is the name of the changelog topic of a store.
func Topic(app, store string) string { return app + "-" + store + "-changelog" }

// TopicConfig are the settings of a changelog topic. The compaction lag leaves a
// crashed application that long to come back and repair the tail.
func TopicConfig() map[string]string {
	return map[string]string{
		"cleanup.policy":        "compact",
		"min.compaction.lag.ms": "3600000",
	}
}

// HeaderMarker is the key of the header that a marker record carries, with an empty
// value. No data record has it.
const HeaderMarker = "riffle.marker"

// MarkerKey is the key of marker records. It is the same for all, so that a
// compacted changelog keeps the last one. What tells a marker is the header; a
// store may hold the same key.
const MarkerKey = "\x00riffle.marker"

// Marker ends a commit in a changelog partition.
type Marker struct {
	// Commit is the sequence of the commit. It is larger than that of every marker
	// before it in any of the task's changelogs; the first is 1.
	Commit int64
	// Complete is the sequence of the task's last complete commit, 0 if there is
	// none.
	Complete int64
	// Stores are the stores that take part in the commit, sorted: those that it has
	// data records of, and no others. It is complete when each has a marker of it.
	Stores []string
	// Layout is how the store's data records are laid out.
	Layout state.Layout
	// StreamTimeMillis is the task's stream time.
	StreamTimeMillis int64
	// Inputs are the next offsets of the task's input partitions: the state is that
	// of all records before them.
	Inputs []state.InputOffset
}

// Position is where the store stands after the commit whose marker is m, at the
// offset given of the changelog topic with that id.
func (m Marker) Position(topicID [16]byte, offset int64) state.Position {
	return state.Position{
		TopicID: topicID, Offset: offset + 1, Commit: m.Commit,
		StreamTimeMillis: m.StreamTimeMillis, Stores: m.Stores, Inputs: m.Inputs,
	}
}

// sameCommit reports whether two markers of different stores belong to one commit.
func (m *Marker) sameCommit(o *Marker) bool {
	return m.Commit == o.Commit && m.StreamTimeMillis == o.StreamTimeMillis && slices.Equal(m.Inputs, o.Inputs)
}

// ErrMarker means a marker record whose value does not parse or fails its checksum.
var ErrMarker = errors.New("changelog: invalid marker")

// markerVersion is the first byte of a marker.
const markerVersion = 1

// castagnoli is the polynomial of CRC-32C.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendMarker appends the value of m's record to dst: version, fields as varints
// and length-prefixed strings, CRC-32C of all before it.
func AppendMarker(dst []byte, m Marker) []byte {
	start := len(dst)
	dst = append(dst, markerVersion, byte(m.Layout))
	dst = binary.AppendVarint(dst, m.Commit)
	dst = binary.AppendVarint(dst, m.Complete)
	dst = binary.AppendVarint(dst, m.StreamTimeMillis)
	dst = state.AppendInputs(state.AppendStores(dst, m.Stores), m.Inputs)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// ParseMarker reads the value of a marker record. Errors match [ErrMarker].
func ParseMarker(b []byte) (Marker, error) {
	if len(b) < 4 {
		return Marker{}, fmt.Errorf("%w: %d bytes", ErrMarker, len(b))
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if got := crc32.Checksum(body, castagnoli); got != sum {
		return Marker{}, fmt.Errorf("%w: checksum %08x, want %08x", ErrMarker, got, sum)
	}
	if len(body) < 2 || body[0] != markerVersion {
		return Marker{}, fmt.Errorf("%w: not version %d: a newer riffle wrote it?", ErrMarker, markerVersion)
	}
	m := Marker{Layout: state.Layout(body[1])}
	rest := body[2:]
	for _, field := range []*int64{&m.Commit, &m.Complete, &m.StreamTimeMillis} {
		v, n := binary.Varint(rest)
		if n <= 0 {
			return Marker{}, fmt.Errorf("%w: cut short", ErrMarker)
		}
		*field, rest = v, rest[n:]
	}
	var err1, err2 error
	m.Stores, rest, err1 = state.ParseStores(rest)
	m.Inputs, rest, err2 = state.ParseInputs(rest)
	if err1 != nil || err2 != nil || len(rest) > 0 {
		return Marker{}, fmt.Errorf("%w: stores or input offsets do not parse", ErrMarker)
	}
	if m.Complete < 0 || m.Commit <= m.Complete {
		return Marker{}, fmt.Errorf("%w: commit %d after commit %d", ErrMarker, m.Commit, m.Complete)
	}
	return m, nil
}
