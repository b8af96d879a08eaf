package serde

import (
	"encoding"
	"fmt"
	"reflect"
)

// Binary uses the type's own AppendBinary and UnmarshalBinary, which pointers to
// T must have. UnmarshalBinary must copy what it keeps, as its contract in
// package encoding says.
func Binary[T any, P interface {
	*T
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}]() Serde[T] {
	name := fmt.Sprintf("binary(%s)", reflect.TypeFor[T]())
	return Serde[T]{
		Name: name,
		Encode: func(dst []byte, v T) ([]byte, error) {
			out, err := P(&v).AppendBinary(dst)
			if err != nil {
				return dst, &Error{Serde: name, Op: "encode", Err: err}
			}
			return out, nil
		},
		Decode: func(b []byte) (T, error) {
			var v, zero T
			if err := P(&v).UnmarshalBinary(b); err != nil {
				return zero, &Error{Serde: name, Op: "decode", Err: err}
			}
			return v, nil
		},
	}
}
