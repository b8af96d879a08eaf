package client

import (
	"cmp"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
)

// The first byte of the user data of members, and of that of assignments. What does not parse is left out: where state
// lies is a hint, and members of another version take part without it.
const (
	heldVersion     = 2
	standbysVersion = 1
)

var errUserData = errors.New("client: user data do not parse")

// appendHeld encodes how often a member has joined, as a varint, and what state it has: for each unit the topic,
// length-prefixed, the partition, the position and the lag, as varints.
func appendHeld(dst []byte, joins int64, held map[Unit]Held) []byte {
	dst = binary.AppendVarint(append(dst, heldVersion), joins)
	units := slices.SortedFunc(maps.Keys(held), func(a, b Unit) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	for _, u := range units {
		dst = appendUnit(dst, u)
		dst = binary.AppendVarint(dst, held[u].Position)
		dst = binary.AppendVarint(dst, held[u].Lag)
	}
	return dst
}

// parseHeld reads what appendHeld wrote.
func parseHeld(b []byte) map[Unit]Held {
	held := make(map[Unit]Held)
	if len(b) == 0 || b[0] != heldVersion {
		return held
	}
	_, b, err := parseVarint(b[1:]) // joins
	for len(b) > 0 && err == nil {
		var u Unit
		var h Held
		if u, b, err = parseUnit(b); err != nil {
			break
		}
		if h.Position, b, err = parseVarint(b); err != nil {
			break
		}
		if h.Lag, b, err = parseVarint(b); err == nil {
			held[u] = Held{max(h.Position, 0), max(h.Lag, -1)}
		}
	}
	return held
}

// appendStandbys encodes the copies that a member is to keep: each its unit and whether it is to be warmed up.
func appendStandbys(dst []byte, standbys []Standby) []byte {
	dst = append(dst, standbysVersion)
	for _, s := range standbys {
		dst = appendUnit(dst, s.Unit)
		warm := int64(0)
		if s.WarmUp {
			warm = 1
		}
		dst = binary.AppendVarint(dst, warm)
	}
	return dst
}

// parseStandbys reads what appendStandbys wrote.
func parseStandbys(b []byte) (standbys []Standby) {
	if len(b) == 0 || b[0] != standbysVersion {
		return nil
	}
	b = b[1:]
	for len(b) > 0 {
		u, rest, err := parseUnit(b)
		if err != nil {
			return standbys
		}
		warm, rest, err := parseVarint(rest)
		if err != nil {
			return standbys
		}
		standbys = append(standbys, Standby{Unit: u, WarmUp: warm == 1})
		b = rest
	}
	return standbys
}

func appendUnit(dst []byte, u Unit) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(u.Topic)))
	dst = append(dst, u.Topic...)
	return binary.AppendVarint(dst, int64(u.Partition))
}

func parseUnit(b []byte) (Unit, []byte, error) {
	size, n := binary.Uvarint(b)
	if n <= 0 || size > uint64(len(b)-n) {
		return Unit{}, nil, errUserData
	}
	topic := string(b[n : n+int(size)])
	p, b, err := parseVarint(b[n+int(size):])
	if err != nil || p < 0 || p != int64(int32(p)) {
		return Unit{}, nil, errUserData
	}
	return Unit{topic, int32(p)}, b, nil
}

func parseVarint(b []byte) (int64, []byte, error) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, errUserData
	}
	return v, b[n:], nil
}
