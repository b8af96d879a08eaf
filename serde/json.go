package serde

import (
	"encoding/json/v2"
	"fmt"
	"reflect"
)

// jsonOptions make the encoding of equal values equal: the keys of maps are
// sorted, so that a replay writes the same bytes.
var jsonOptions = json.Deterministic(true)

// JSON encodes with encoding/json/v2: names are case-sensitive, duplicate names
// and invalid UTF-8 are errors, unknown members are ignored, a nil slice is [].
func JSON[T any]() Serde[T] {
	name := fmt.Sprintf("json(%s)", reflect.TypeFor[T]())
	return Serde[T]{
		Name: name,
		Encode: func(dst []byte, v T) ([]byte, error) {
			w := appendWriter{dst}
			if err := json.MarshalWrite(&w, &v, jsonOptions); err != nil {
				return dst, &Error{Serde: name, Op: "encode", Err: err}
			}
			return w.b, nil
		},
		Decode: func(b []byte) (T, error) {
			var v T
			if err := json.Unmarshal(b, &v); err != nil {
				var zero T
				return zero, &Error{Serde: name, Op: "decode", Err: err}
			}
			return v, nil
		},
	}
}

// appendWriter is an io.Writer at the end of a slice.
type appendWriter struct{ b []byte }

func (w *appendWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}
