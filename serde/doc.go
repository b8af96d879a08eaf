// Package serde turns typed keys and values into bytes and back.
//
// A [Serde] is a struct of two functions and a name; there is nothing to
// implement. The package has serdes for strings, bytes and integers, for JSON,
// for Avro (typed structs, and maps for schemas known only at run time) and for
// types that encode themselves ([Binary]).
//
// A serde is chosen once, where a topic or a store is declared, and used from
// many goroutines at once: Encode and Decode must be safe for concurrent use. All
// serdes of this package are.
//
// A serde never sees an absent value: a record without a value is a tombstone,
// and whoever reads the record handles it. The package knows no schema registry
// and writes no schema id; an Avro value is the plain binary encoding.
package serde
