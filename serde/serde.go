package serde

import (
	"encoding/binary"
	"fmt"
	"unsafe"
)

// Serde turns values of type T into bytes and back. The zero Serde is not
// usable: a topic or a store declared with it is reported by the topology's
// Build.
type Serde[T any] struct {
	// Name says what the serde is, such as "json(main.Card)". It stands in
	// errors.
	Name string
	// Encode appends the encoding of v to dst and returns the longer slice. On
	// an error dst is returned as it was.
	Encode func(dst []byte, v T) ([]byte, error)
	// Decode reads a value from all of b. It must not keep or change b: the
	// caller reuses it.
	Decode func(b []byte) (T, error)
	// Own is Decode of bytes that belong to the value from then on: it may keep
	// them, and nobody changes them. It is optional. Records that are read are
	// decoded with it from copies that lie in chunks of a KiB, so that small
	// values need no allocation of their own; a value that is kept for long then
	// keeps its neighbours in memory.
	Own func(b []byte) (T, error)
	// Err is why the serde cannot work, for example a type that Avro has no
	// schema for. Encode and Decode then return it too.
	Err error
}

// Valid returns why the serde cannot be used, or nil.
func (s Serde[T]) Valid() error {
	switch {
	case s.Err != nil:
		return s.Err
	case s.Encode == nil || s.Decode == nil:
		return fmt.Errorf("serde: %q has no Encode or no Decode function", s.Name)
	}
	return nil
}

// Error is a value that a serde could not encode or decode.
type Error struct {
	Serde string // name of the serde
	Op    string // "encode" or "decode"
	Err   error
}

func (e *Error) Error() string {
	return fmt.Sprintf("serde: %s %s: %v", e.Op, e.Serde, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// String keeps a string as its bytes, as Kafka's StringSerializer does. Bytes
// that are not UTF-8 pass unchanged.
var String = Serde[string]{
	Name:   "string",
	Encode: func(dst []byte, v string) ([]byte, error) { return append(dst, v...), nil },
	Decode: func(b []byte) (string, error) { return string(b), nil },
	Own:    func(b []byte) (string, error) { return unsafe.String(unsafe.SliceData(b), len(b)), nil },
}

// Bytes keeps bytes as they are. Decode copies.
var Bytes = Serde[[]byte]{
	Name:   "bytes",
	Encode: func(dst, v []byte) ([]byte, error) { return append(dst, v...), nil },
	Decode: func(b []byte) ([]byte, error) { return append(make([]byte, 0, len(b)), b...), nil },
	Own:    func(b []byte) ([]byte, error) { return b, nil },
}

// Int32 is four bytes, big-endian two's complement, as Kafka's
// IntegerSerializer writes them.
var Int32 = Serde[int32]{
	Name: "int32",
	Encode: func(dst []byte, v int32) ([]byte, error) {
		return binary.BigEndian.AppendUint32(dst, uint32(v)), nil
	},
	Decode: func(b []byte) (int32, error) {
		if err := wantSize("int32", b, 4); err != nil {
			return 0, err
		}
		return int32(binary.BigEndian.Uint32(b)), nil
	},
}

// Int64 is eight bytes, big-endian two's complement, as Kafka's LongSerializer
// writes them. The order of the bytes is not the order of negative numbers.
var Int64 = Serde[int64]{
	Name: "int64",
	Encode: func(dst []byte, v int64) ([]byte, error) {
		return binary.BigEndian.AppendUint64(dst, uint64(v)), nil
	},
	Decode: func(b []byte) (int64, error) {
		if err := wantSize("int64", b, 8); err != nil {
			return 0, err
		}
		return int64(binary.BigEndian.Uint64(b)), nil
	},
}

func wantSize(name string, b []byte, size int) error {
	if len(b) == size {
		return nil
	}
	return &Error{Serde: name, Op: "decode", Err: fmt.Errorf("%d bytes, want %d", len(b), size)}
}

// broken is a serde that cannot work because of err.
func broken[T any](name string, err error) Serde[T] {
	err = fmt.Errorf("serde: %s: %w", name, err)
	return Serde[T]{
		Name:   name,
		Encode: func(dst []byte, _ T) ([]byte, error) { return dst, err },
		Decode: func([]byte) (v T, _ error) { return v, err },
		Err:    err,
	}
}
