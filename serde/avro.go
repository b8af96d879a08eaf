package serde

import (
	"cmp"
	"fmt"
	"reflect"

	"github.com/twmb/avro"
)

// Avro encodes a struct as Avro binary, with the schema inferred from its
// fields and their `avro` tags. A T that Avro has no schema for gives a serde
// whose Err says why.
func Avro[T any]() Serde[T] {
	name := fmt.Sprintf("avro(%s)", reflect.TypeFor[T]())
	schema, err := avro.SchemaFor[T]()
	if err != nil {
		return broken[T](name, err)
	}
	return avroSerde[T](name, schema)
}

// AvroSchema encodes T with an explicit schema, in Avro's JSON. A schema that
// does not parse gives a serde whose Err says why; a T that does not fit it
// fails at the first value.
func AvroSchema[T any](schema string) Serde[T] {
	name := fmt.Sprintf("avro(%s)", reflect.TypeFor[T]())
	parsed, err := avro.Parse(schema)
	if err != nil {
		return broken[T](name, err)
	}
	return avroSerde[T](name, parsed)
}

func avroSerde[T any](name string, schema *avro.Schema) Serde[T] {
	return Serde[T]{
		Name: name,
		Encode: func(dst []byte, v T) ([]byte, error) {
			out, err := schema.AppendEncode(dst, &v)
			if err != nil {
				return dst, &Error{Serde: name, Op: "encode", Err: err}
			}
			return out, nil
		},
		Decode: func(b []byte) (T, error) {
			var v, zero T
			rest, err := schema.Decode(b, &v)
			if err == nil && len(rest) > 0 {
				err = trailingError(len(rest), len(b))
			}
			if err != nil {
				return zero, &Error{Serde: name, Op: "decode", Err: err}
			}
			return v, nil
		},
	}
}

// AvroMap encodes maps with a schema that is known only at run time. Values have
// goavro's form: a record is a map[string]any, int and long are int32 and int64, a
// union is nil or a map[string]any{"type": value}, where a logical type's name is
// "long.timestamp-millis" and the like; timestamps are time.Time, decimals *big.Rat.
// It costs several times as much as [Avro].
//
// goavro itself does not decode here: it allocates as many elements as an array says
// it has, so that six bytes can end the process.
func AvroMap(schema string) (Serde[map[string]any], error) {
	parsed, err := avro.Parse(schema)
	if err != nil {
		return Serde[map[string]any]{}, fmt.Errorf("serde: avro map: %w", err)
	}
	root := parsed.Root()
	if root.Type != "record" && root.Type != "map" {
		return Serde[map[string]any]{}, fmt.Errorf("serde: avro map: the schema is of type %s, want a record or a map", root.Type)
	}
	name := fmt.Sprintf("avro map(%s)", cmp.Or(root.Name, root.Type))
	return Serde[map[string]any]{
		Name: name,
		Encode: func(dst []byte, v map[string]any) ([]byte, error) {
			out, err := parsed.AppendEncode(dst, v)
			if err != nil {
				return dst, &Error{Serde: name, Op: "encode", Err: err}
			}
			return out, nil
		},
		Decode: func(b []byte) (map[string]any, error) {
			var v map[string]any
			rest, err := parsed.Decode(b, &v, avro.TaggedUnions(), avro.TagLogicalTypes())
			if err == nil && len(rest) > 0 {
				err = trailingError(len(rest), len(b))
			}
			if err != nil {
				return nil, &Error{Serde: name, Op: "decode", Err: err}
			}
			return v, nil
		},
	}, nil
}

func trailingError(rest, size int) error {
	return fmt.Errorf("%d of %d bytes are left after the value: another schema wrote it", rest, size)
}
