package window

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// Window is the interval [Start, End) of event time, in UTC. Windows of equal times are equal (==).
type Window struct {
	Start, End time.Time
}

// Millis returns the window between two times in milliseconds since 1970.
func Millis(start, end int64) Window {
	return Window{time.UnixMilli(start).UTC(), time.UnixMilli(end).UTC()}
}

// Contains reports whether t lies in the window.
func (w Window) Contains(t time.Time) bool { return !t.Before(w.Start) && t.Before(w.End) }

// String is the window as an interval, such as [2026-01-01T12:00:00Z, 2026-01-01T12:05:00Z).
func (w Window) String() string {
	if w.End.UnixMilli() == math.MaxInt64 {
		return "[" + w.Start.Format(time.RFC3339Nano) + ", ∞)"
	}
	return "[" + w.Start.Format(time.RFC3339Nano) + ", " + w.End.Format(time.RFC3339Nano) + ")"
}

// Key is a key in a window.
type Key[K any] struct {
	Key    K
	Window Window
}

// String is the key and its window, such as card-1@[2026-01-01T12:00:00Z, 2026-01-01T12:05:00Z).
func (k Key[K]) String() string { return fmt.Sprintf("%v@%s", k.Key, k.Window) }

// boundsBytes is what KeySerde adds to a key.
const boundsBytes = 16

// KeySerde is the serde of a key in a window: the key's bytes, then the start and the end of the window in milliseconds
// since 1970, 8 bytes each, big-endian. Keys of one length sort by key, then by window.
func KeySerde[K any](key serde.Serde[K]) serde.Serde[Key[K]] {
	name := "window(" + key.Name + ")"
	decode := func(part func([]byte) (K, error)) func([]byte) (Key[K], error) {
		return func(b []byte) (k Key[K], err error) {
			n := len(b) - boundsBytes
			if n < 0 {
				return k, &serde.Error{Serde: name, Op: "decode", Err: fmt.Errorf("%d bytes, want %d or more", len(b), boundsBytes)}
			}
			if k.Key, err = part(b[:n:n]); err != nil {
				return k, err
			}
			k.Window = Millis(int64(binary.BigEndian.Uint64(b[n:])), int64(binary.BigEndian.Uint64(b[n+8:])))
			return k, nil
		}
	}
	s := serde.Serde[Key[K]]{
		Name: name,
		Err:  key.Err,
		Encode: func(dst []byte, v Key[K]) ([]byte, error) {
			start := len(dst)
			dst, err := key.Encode(dst, v.Key)
			if err != nil {
				return dst[:start], err
			}
			dst = binary.BigEndian.AppendUint64(dst, uint64(v.Window.Start.UnixMilli()))
			return binary.BigEndian.AppendUint64(dst, uint64(v.Window.End.UnixMilli())), nil
		},
		Decode: decode(key.Decode),
	}
	if key.Own != nil {
		s.Own = decode(key.Own)
	}
	return s
}

// Keys joins and parts keys in windows. W is Key[K]: a type of its own lets a step be typed by a store's Keys, where the
// compiler does not allow it to name Key[K] itself (a stream of windows can be windowed again, without end).
type Keys[K, W any] struct {
	Join  func(K, Window) W
	Split func(W) (K, Window)
	Serde serde.Serde[W]
}

// KeysOf returns the Keys for a serde of plain keys.
func KeysOf[K any](key serde.Serde[K]) Keys[K, Key[K]] {
	return Keys[K, Key[K]]{
		Join:  func(k K, w Window) Key[K] { return Key[K]{k, w} },
		Split: func(k Key[K]) (K, Window) { return k.Key, k.Window },
		Serde: KeySerde(key),
	}
}
