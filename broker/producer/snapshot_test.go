package producer

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"math"
	"slices"
	"testing"
)

// someState is two producers, one with a full window that has wrapped.
func someState() *State {
	var s State
	for i := range int32(7) {
		s.Append(NewMeta(1<<40, 5, LastSequence(math.MaxInt32-3, 1+2*i), 2), int64(2*i), int64(i))
	}
	s.Append(NewMeta(3, 0, 0, 1), 14, 99)
	return &s
}

// The format is on disks: these bytes must be read for ever.
func TestSnapshotFormat(t *testing.T) {
	t.Parallel()
	var s State
	s.Append(NewMeta(3, 2, math.MaxInt32, 2), 14, 99)
	want := "52665072" + "0001" + "00000001" +
		"0000000000000003" + "0002" + "01" +
		"7fffffff" + "00000000" + "000000000000000e" + "0000000000000063" +
		"8d037a11"
	got := s.Snapshot()
	if hex.EncodeToString(got) != want {
		t.Errorf("snapshot\n%x, want\n%s", got, want)
	}
	var back State
	if err := back.Restore(got); err != nil {
		t.Fatal(err)
	}
	if dup, isDup, err := back.Check(NewMeta(3, 2, math.MaxInt32, 2)); !isDup || dup != (Duplicate{14, 99}) {
		t.Errorf("Check after Restore = %+v, %v, %v", dup, isDup, err)
	}
}

func TestRestoreRefusesDamage(t *testing.T) {
	t.Parallel()
	good := someState().Snapshot()
	unharmed := someState()
	refuse := func(what string, b []byte, want error) {
		t.Helper()
		if err := unharmed.Restore(b); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", what, err, want)
		}
		if !bytes.Equal(unharmed.Snapshot(), good) {
			t.Fatalf("%s: the state has changed", what)
		}
	}
	for i := range good {
		refuse("cut", good[:i], ErrCorruptSnapshot)
		for bit := range 8 {
			b := slices.Clone(good)
			b[i] ^= 1 << bit
			refuse("flip", b, ErrCorruptSnapshot)
		}
	}
	// Damage under a right checksum, as a bug would leave it.
	for what, change := range map[string]func(b []byte) []byte{
		"producer count too large": func(b []byte) []byte { put32(b, 6, math.MaxUint32); return b },
		"producer count too small": func(b []byte) []byte { put32(b, 6, 1); return b },
		"no batches":               func(b []byte) []byte { b[20] = 0; return b },
		"six batches":              func(b []byte) []byte { b[20] = 6; return b },
		"negative id":              func(b []byte) []byte { b[10] = 0x80; return b },
		"the same id twice":        func(b []byte) []byte { copy(b[45:53], b[10:18]); return b },
		"bytes too many":           func(b []byte) []byte { return append(b, 0) },
	} {
		b := change(slices.Clone(good[:len(good)-checksumLen]))
		refuse(what, sealed(b), ErrCorruptSnapshot)
	}
	newer := slices.Clone(good[:len(good)-checksumLen])
	newer[5] = 3
	refuse("version 3", sealed(newer), ErrSnapshotVersion)
}

func put32(b []byte, at int, v uint32) { binary.BigEndian.PutUint32(b[at:], v) }

func sealed(b []byte) []byte {
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// Restore never panics, and what it accepts is what Snapshot writes.
func FuzzRestore(f *testing.F) {
	f.Add(new(State).Snapshot())
	f.Add(someState().Snapshot())
	f.Add([]byte(snapshotMagic))
	txns := someState()
	txns.Append(transactional(5, 1, 0), 20, 7)
	txns.Append(transactional(6, 1, 0), 21, 7)
	txns.AppendMarker(Marker{ID: 6, Epoch: 2}, 22, 8)
	f.Add(txns.Snapshot())
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, snapshot := range [][]byte{b, sealed(b)} {
			var s State
			switch err := s.Restore(snapshot); {
			case err == nil:
				if again := s.Snapshot(); !bytes.Equal(again, snapshot) {
					t.Errorf("restored from\n%x, but its snapshot is\n%x", snapshot, again)
				}
			case !errors.Is(err, ErrCorruptSnapshot) && !errors.Is(err, ErrSnapshotVersion):
				t.Errorf("Restore: %v, want ErrCorruptSnapshot or ErrSnapshotVersion", err)
			}
		}
	})
}
