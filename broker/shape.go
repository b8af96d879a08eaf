package broker

import (
	"encoding/binary"
	"fmt"
	"reflect"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Limits of what one request may make kmsg allocate.
const (
	// maxArrayLen limits one array of a request.
	maxArrayLen = 10_000
	// maxElements limits all arrays and tagged fields of a request together.
	maxElements = 200_000
)

// What kmsg allocates beside the elements of arrays, in bytes: a string that may be
// null is behind a pointer to its header, and the tagged fields of a struct that kmsg
// does not know are a map.
const (
	stringHeaderBytes = 16
	smallTagsBytes    = 352 // up to eight
	largeTagBytes     = 192 // for each, with more: maps grow in steps
)

// freeDecodedBytes is what a request may take decoded by its size alone: four times
// that, and 64 KiB. What real clients send takes less.
func freeDecodedBytes(size int) int64 { return 4*int64(size) + 64<<10 }

// kind is how a field is encoded.
type kind uint8

const (
	i8 kind = iota // also booleans
	i16
	i32
	i64
	uuid
	str   // string, or nullable string: both are checked alike
	blob  // bytes, or nullable bytes
	array // of sub, or nullable
	null  // struct, or nothing
)

// field is one field of a message in the versions [min, max]; a max of 0 means
// that it never ended.
type field struct {
	kind     kind
	min, max int16
	sub      []field // element of an array, or nullable struct
	scalar   bool    // elements are bare values, without tagged fields
	size     int64   // bytes of an element, or nullable struct, in kmsg's types
}

// in reports whether the field exists in a version.
func (f *field) in(version int16) bool {
	return version >= f.min && (f.max == 0 || version <= f.max)
}

func one(k kind) field              { return field{kind: k} }
func since(v int16, f field) field  { f.min = v; return f }
func until(v int16, f field) field  { f.max = v; return f }
func list(sub ...field) field       { return field{kind: array, sub: sub} }
func maybe(sub ...field) field      { return field{kind: null, sub: sub} }
func values(k kind) field           { return field{kind: array, sub: []field{one(k)}, scalar: true} }
func shapeOf(fields ...field) shape { return fields }

// shape is the layout of a request body, after Kafka's message definitions
// (clients/src/main/resources/common/message). It exists to know what a request
// takes in memory before kmsg decodes it: kmsg holds an array's length against the
// bytes left, one byte an element, but an element takes up to a hundred times that.
type shape []field

// measure sets the sizes of the elements from those of kmsg's types, whose fields come
// in the order of the wire.
func measure(fields []field, t reflect.Type) {
	next := 0
	for i := range fields {
		f := &fields[i]
		if f.kind != array && f.kind != null {
			continue
		}
		for !holds(t.Field(next).Type, f) {
			next++
		}
		elem := t.Field(next).Type.Elem()
		next++
		if f.size = int64(elem.Size()); !f.scalar {
			measure(f.sub, elem)
		}
	}
}

// holds reports whether a type of kmsg is that of an array or a nullable struct.
func holds(t reflect.Type, f *field) bool {
	if f.kind == null {
		return t.Kind() == reflect.Pointer && t.Elem().Kind() == reflect.Struct
	}
	return t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && f.scalar == (t.Elem().Kind() != reflect.Struct)
}

// measured sets the sizes of all shapes.
func measured(shapes map[int16]shape) map[int16]shape {
	for key, s := range shapes {
		measure(s, reflect.TypeOf(kmsg.RequestForKey(key)).Elem())
	}
	return shapes
}

// shapes are the layouts of all requests that are served.
var shapes = measured(map[int16]shape{
	int16(kmsg.Produce): shapeOf(
		since(3, one(str)), one(i16), one(i32),
		list(until(12, one(str)), since(13, one(uuid)), list(one(i32), one(blob)))),
	int16(kmsg.Fetch): shapeOf(
		until(14, one(i32)), one(i32), one(i32), one(i32), one(i8), since(7, one(i32)), since(7, one(i32)),
		list(until(12, one(str)), since(13, one(uuid)),
			list(one(i32), since(9, one(i32)), one(i64), since(12, one(i32)), since(5, one(i64)), one(i32))),
		since(7, list(until(12, one(str)), since(13, one(uuid)), values(i32))),
		since(11, one(str))),
	int16(kmsg.ListOffsets): shapeOf(
		one(i32), since(2, one(i8)),
		list(one(str), list(one(i32), since(4, one(i32)), one(i64))),
		since(10, one(i32))),
	int16(kmsg.Metadata): shapeOf(
		list(since(10, one(uuid)), one(str)),
		since(4, one(i8)), until(10, since(8, one(i8))), since(8, one(i8))),
	int16(kmsg.OffsetCommit): shapeOf(
		one(str), since(1, one(i32)), since(1, one(str)), since(7, one(str)), until(4, since(2, one(i64))),
		list(until(9, one(str)), since(10, one(uuid)),
			list(one(i32), one(i64), since(6, one(i32)), one(str)))),
	int16(kmsg.OffsetFetch): shapeOf(
		until(7, one(str)), until(7, list(one(str), values(i32))),
		since(8, list(one(str), since(9, one(str)), since(9, one(i32)),
			list(until(9, one(str)), since(10, one(uuid)), values(i32)))),
		since(7, one(i8))),
	int16(kmsg.FindCoordinator): shapeOf(until(3, one(str)), since(1, one(i8)), since(4, values(str))),
	int16(kmsg.JoinGroup): shapeOf(
		one(str), one(i32), since(1, one(i32)), one(str), since(5, one(str)), one(str),
		list(one(str), one(blob)), since(8, one(str))),
	int16(kmsg.Heartbeat): shapeOf(one(str), one(i32), one(str), since(3, one(str))),
	int16(kmsg.LeaveGroup): shapeOf(
		one(str), until(2, one(str)),
		since(3, list(one(str), one(str), since(5, one(str))))),
	int16(kmsg.SyncGroup): shapeOf(
		one(str), one(i32), one(str), since(3, one(str)), since(5, one(str)), since(5, one(str)),
		list(one(str), one(blob))),
	int16(kmsg.DescribeGroups):               shapeOf(values(str), since(3, one(i8))),
	int16(kmsg.ListGroups):                   shapeOf(since(4, values(str)), since(5, values(str))),
	int16(kmsg.DeleteGroups):                 shapeOf(values(str)),
	int16(kmsg.OffsetDelete):                 shapeOf(one(str), list(one(str), list(one(i32)))),
	int16(kmsg.ApiVersions):                  shapeOf(since(3, one(str)), since(3, one(str))),
	int16(kmsg.SASLHandshake):                shapeOf(one(str)),
	int16(kmsg.SASLAuthenticate):             shapeOf(one(blob)),
	int16(kmsg.DescribeClientQuotas):         shapeOf(list(one(str), one(i8), one(str)), one(i8)),
	int16(kmsg.AlterClientQuotas):            shapeOf(list(list(one(str), one(str)), list(one(str), one(i64), one(i8))), one(i8)),
	int16(kmsg.DescribeUserSCRAMCredentials): shapeOf(list(one(str))),
	int16(kmsg.AlterUserSCRAMCredentials): shapeOf(
		list(one(str), one(i8)), list(one(str), one(i8), one(i32), one(blob), one(blob))),
	int16(kmsg.ConsumerGroupHeartbeat): shapeOf(
		one(str), one(str), one(i32), one(str), one(str), one(i32), values(str), since(1, one(str)), one(str),
		list(one(uuid), values(i32))),
	int16(kmsg.ConsumerGroupDescribe): shapeOf(values(str), one(i8)),
	int16(kmsg.CreateTopics): shapeOf(
		list(one(str), one(i32), one(i16), list(one(i32), values(i32)), list(one(str), one(str))),
		one(i32), one(i8)),
	int16(kmsg.DeleteTopics): shapeOf(
		until(5, values(str)), since(6, list(one(str), one(uuid))), one(i32)),
	int16(kmsg.OffsetForLeaderEpoch): shapeOf(
		since(3, one(i32)), list(one(str), list(one(i32), one(i32), one(i32)))),
	int16(kmsg.DeleteRecords):  shapeOf(list(one(str), list(one(i32), one(i64))), one(i32)),
	int16(kmsg.InitProducerID): shapeOf(one(str), one(i32), since(3, one(i64)), since(3, one(i16))),
	int16(kmsg.AddPartitionsToTxn): shapeOf(
		until(3, one(str)), until(3, one(i64)), until(3, one(i16)), until(3, list(one(str), values(i32))),
		since(4, list(one(str), one(i64), one(i16), one(i8), list(one(str), values(i32))))),
	int16(kmsg.AddOffsetsToTxn): shapeOf(one(str), one(i64), one(i16), one(str)),
	int16(kmsg.EndTxn):          shapeOf(one(str), one(i64), one(i16), one(i8)),
	int16(kmsg.WriteTxnMarkers): shapeOf(
		list(one(i64), one(i16), one(i8), list(one(str), values(i32)), one(i32), since(2, one(i8)))),
	int16(kmsg.TxnOffsetCommit): shapeOf(
		one(str), one(str), one(i64), one(i16), since(3, one(i32)), since(3, one(str)), since(3, one(str)),
		list(until(5, one(str)), since(6, one(uuid)), list(one(i32), one(i64), since(2, one(i32)), one(str)))),
	int16(kmsg.DescribeProducers):    shapeOf(list(one(str), values(i32))),
	int16(kmsg.DescribeTransactions): shapeOf(values(str)),
	int16(kmsg.ListTransactions):     shapeOf(values(str), values(i64), since(1, one(i64)), since(2, one(str))),
	int16(kmsg.DescribeACLs):         shapeOf(one(i8), one(str), one(i8), one(str), one(str), one(i8), one(i8)),
	int16(kmsg.CreateACLs):           shapeOf(list(one(i8), one(str), one(i8), one(str), one(str), one(i8), one(i8))),
	int16(kmsg.DeleteACLs):           shapeOf(list(one(i8), one(str), one(i8), one(str), one(str), one(i8), one(i8))),
	int16(kmsg.DescribeConfigs): shapeOf(
		list(one(i8), one(str), values(str)), one(i8), since(3, one(i8))),
	int16(kmsg.AlterConfigs): shapeOf(
		list(one(i8), one(str), list(one(str), one(str))), one(i8)),
	int16(kmsg.AlterReplicaLogDirs): shapeOf(list(one(str), list(one(str), values(i32)))),
	int16(kmsg.DescribeLogDirs):     shapeOf(list(one(str), values(i32))),
	int16(kmsg.CreatePartitions): shapeOf(
		list(one(str), one(i32), list(values(i32))), one(i32), one(i8)),
	int16(kmsg.IncrementalAlterConfigs): shapeOf(
		list(one(i8), one(str), list(one(str), one(i8), one(str))), one(i8)),
	int16(kmsg.ElectLeaders): shapeOf(since(1, one(i8)), list(one(str), values(i32)), one(i32)),
	int16(kmsg.AlterPartitionAssignments): shapeOf(
		one(i32), since(1, one(i8)), list(one(str), list(one(i32), values(i32)))),
	int16(kmsg.ListPartitionReassignments): shapeOf(one(i32), list(one(str), values(i32))),
	int16(kmsg.ListConfigResources):        shapeOf(since(1, values(i8))),
	int16(kmsg.DescribeTopicPartitions):    shapeOf(list(one(str)), one(i32), maybe(one(str), one(i32))),
	int16(kmsg.DescribeQuorum):             shapeOf(list(one(str), list(one(i32)))),
	int16(kmsg.UpdateFeatures):             shapeOf(one(i32), list(one(str), one(i16), one(i8)), since(1, one(i8))),
	int16(kmsg.DescribeCluster):            shapeOf(one(i8), since(1, one(i8)), since(2, one(i8))),
})

// checkShape walks a request body without allocating and returns how many bytes kmsg
// will allocate to decode it, or an error that matches errFrame if a length leads past
// its end or an array is too long.
func checkShape(req kmsg.Request, body []byte) (decoded int64, err error) {
	s, known := shapes[req.Key()]
	if !known {
		return 0, fmt.Errorf("%w: %s has no shape", errFrame, apiName(req.Key()))
	}
	w := shapeWalk{left: body, version: req.GetVersion(), flexible: req.IsFlexible()}
	if w.fields(s); w.err != nil {
		return 0, fmt.Errorf("%w: %s v%d: %w", errFrame, apiName(req.Key()), req.GetVersion(), w.err)
	}
	return w.decoded, nil
}

// shapeWalk is the state of one walk. The first error ends it.
type shapeWalk struct {
	left     []byte
	version  int16
	flexible bool
	elements int
	decoded  int64 // bytes that kmsg will allocate
	err      error
}

// fields walks a struct and its tagged fields.
func (w *shapeWalk) fields(s []field) {
	for i := range s {
		if w.err != nil {
			return
		}
		if s[i].in(w.version) {
			w.field(&s[i])
		}
	}
	if w.flexible {
		w.tags()
	}
}

func (w *shapeWalk) field(f *field) {
	switch f.kind {
	case i8, i16, i32, i64, uuid:
		w.skip(int64(width(f.kind)))
	case str:
		n := w.length(2)
		if w.skip(n); n >= 0 {
			w.decoded += stringHeaderBytes + (n+7)&^7
		}
	case blob:
		w.skip(w.length(4))
	case array:
		w.array(f)
	case null:
		present := len(w.left) > 0 && int8(w.left[0]) != -1
		if w.skip(1); present {
			w.decoded += f.size
			w.fields(f.sub)
		}
	}
}

func (w *shapeWalk) array(f *field) {
	n := w.length(4)
	if w.err != nil || n <= 0 {
		return
	}
	least := minSize(f, w.version, w.flexible)
	switch w.elements += int(n); {
	case n > maxArrayLen:
		w.err = fmt.Errorf("an array has %d elements, the limit is %d", n, maxArrayLen)
	case n*int64(least) > int64(len(w.left)):
		w.err = fmt.Errorf("an array has %d elements of at least %d bytes, but only %d bytes are left", n, least, len(w.left))
	case w.elements > maxElements:
		w.err = fmt.Errorf("the arrays have more than %d elements", maxElements)
	}
	w.decoded += n*f.size + n*f.size/8 // sizes of allocations are rounded up
	for ; n > 0 && w.err == nil; n-- {
		if f.scalar {
			w.field(&f.sub[0])
		} else {
			w.fields(f.sub)
		}
	}
}

// tags walks the tagged fields of a struct. None of those that clients send hold
// arrays.
func (w *shapeWalk) tags() {
	n := w.uvarint()
	if w.elements += int(n); w.elements > maxElements {
		w.err = fmt.Errorf("there are more than %d tagged fields and elements", maxElements)
	}
	switch {
	case n > 8:
		w.decoded += int64(n) * largeTagBytes
	case n > 0:
		w.decoded += smallTagsBytes
	}
	for ; n > 0 && w.err == nil; n-- {
		w.uvarint()
		w.skip(int64(w.uvarint()))
	}
}

// length reads the length of a string, bytes or an array, of the given width
// where the version is not flexible. Null is below zero.
func (w *shapeWalk) length(width int) int64 {
	if w.flexible {
		return int64(w.uvarint()) - 1
	}
	if len(w.left) < width {
		w.skip(int64(width))
		return 0
	}
	defer w.skip(int64(width))
	if width == 2 {
		return int64(int16(binary.BigEndian.Uint16(w.left)))
	}
	return int64(int32(binary.BigEndian.Uint32(w.left)))
}

func (w *shapeWalk) uvarint() uint32 {
	b := kbin.Reader{Src: w.left}
	n := b.Uvarint()
	if !b.Ok() && w.err == nil {
		w.err = fmt.Errorf("it is cut short")
	}
	w.left = b.Src
	return n
}

func (w *shapeWalk) skip(n int64) {
	switch {
	case w.err != nil || n <= 0:
	case n > int64(len(w.left)):
		w.err = fmt.Errorf("a field of %d bytes, but only %d bytes are left", n, len(w.left))
	default:
		w.left = w.left[n:]
	}
}

func width(k kind) int {
	return [...]int{i8: 1, i16: 2, i32: 4, i64: 8, uuid: 16}[k]
}

// minSize is the smallest encoding of an element of an array.
func minSize(f *field, version int16, flexible bool) int {
	size := 0
	for i := range f.sub {
		switch s := &f.sub[i]; {
		case !s.in(version):
		case s.kind < str:
			size += width(s.kind)
		case flexible:
			size++
		case s.kind == str:
			size += 2
		default:
			size += 4
		}
	}
	if flexible && !f.scalar {
		size++
	}
	return size
}
