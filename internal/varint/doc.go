// Package varint reads numbers of variable length, as encoding/binary appends them, one after the other.
//
// A [Reader] goes over a slice of bytes. An error is looked for once, at the end: what follows it reads as zeros. It is a value for
// one goroutine, and allocates nothing. The package writes nothing: binary.AppendVarint and AppendUvarint do that.
package varint
