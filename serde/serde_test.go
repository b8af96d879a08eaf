package serde_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/linkedin/goavro/v2"

	"github.com/riffle-stream/riffle/serde"
)

// payment has the fields that a payment has, for tests and benchmarks.
type payment struct {
	ID       int64     `avro:"id" json:"id"`
	Card     string    `avro:"card" json:"card"`
	Terminal int32     `avro:"terminal" json:"terminal"`
	Cents    int64     `avro:"cents" json:"cents"`
	Time     time.Time `avro:"time,timestamp-millis" json:"time"`
	Country  *string   `avro:"country" json:"country,omitempty"`
	Tags     []string  `avro:"tags" json:"tags"`
}

var country = "BE"

var aPayment = payment{
	ID: 123456789, Card: "card-4711", Terminal: 77, Cents: 12345,
	Time: time.UnixMilli(1526000000123).UTC(), Country: &country, Tags: []string{"online", "3ds"},
}

// point encodes itself.
type point struct{ X, Y int32 }

func (p *point) AppendBinary(b []byte) ([]byte, error) {
	if p.X == math.MinInt32 {
		return append(b, "half"...), errors.New("no such point")
	}
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(b, uint32(p.X)), uint32(p.Y)), nil
}

func (p *point) UnmarshalBinary(b []byte) error {
	if len(b) != 8 {
		return fmt.Errorf("%d bytes, want 8", len(b))
	}
	p.X, p.Y = int32(binary.BigEndian.Uint32(b)), int32(binary.BigEndian.Uint32(b[4:]))
	return nil
}

const paymentSchema = `{"type": "record", "name": "payment", "fields": [
	{"name": "id", "type": "long"},
	{"name": "card", "type": "string"},
	{"name": "terminal", "type": "int"},
	{"name": "cents", "type": "long"},
	{"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
	{"name": "country", "type": ["null", "string"], "default": null},
	{"name": "tags", "type": {"type": "array", "items": "string"}}
]}`

func avroMap(t testing.TB) serde.Serde[map[string]any] {
	t.Helper()
	s, err := serde.AvroMap(paymentSchema)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var paymentMap = map[string]any{
	"id": int64(123456789), "card": "card-4711", "terminal": int32(77), "cents": int64(12345),
	"time": time.UnixMilli(1526000000123).UTC(), "country": map[string]any{"string": "BE"},
	"tags": []any{"online", "3ds"},
}

// roundTrip encodes behind a prefix, decodes from a buffer that is overwritten
// afterwards, and compares.
func roundTrip[T any](t *testing.T, s serde.Serde[T], values ...T) {
	t.Helper()
	if err := s.Valid(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		b, err := s.Encode([]byte("prefix"), v)
		if err != nil || !bytes.HasPrefix(b, []byte("prefix")) {
			t.Fatalf("%s: Encode(%v) = %q, %v", s.Name, v, b, err)
		}
		in := b[len("prefix"):]
		if s.Own != nil {
			own, err := s.Own(bytes.Clone(in))
			if err != nil || !cmp.Equal(v, own) {
				t.Errorf("%s: Own: %v (-want +got):\n%s", s.Name, err, cmp.Diff(v, own))
			}
		}
		got, err := s.Decode(in)
		for i := range in {
			in[i] = 0xff // whoever kept the input shows now
		}
		if err != nil || !cmp.Equal(v, got) {
			t.Errorf("%s: %v (-want +got):\n%s", s.Name, err, cmp.Diff(v, got))
		}
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	roundTrip(t, serde.String, "", "a", "not \xff UTF-8", strings.Repeat("x", 10000))
	roundTrip(t, serde.Bytes, []byte{}, []byte{0, 1, 255})
	roundTrip(t, serde.Int32, 0, 1, -1, math.MaxInt32, math.MinInt32)
	roundTrip(t, serde.Int64, 0, 1, -1, math.MaxInt64, math.MinInt64)
	roundTrip(t, serde.JSON[payment](), aPayment)
	roundTrip(t, serde.JSON[map[string]int](), map[string]int{"b": 1, "a": 2})
	roundTrip(t, serde.JSON[string](), "", "a string")
	roundTrip(t, serde.Avro[payment](), aPayment, payment{Tags: []string{}, Time: time.UnixMilli(0).UTC()})
	roundTrip(t, serde.AvroSchema[payment](paymentSchema), aPayment)
	roundTrip(t, serde.AvroSchema[string](`"string"`), "a string")
	roundTrip(t, avroMap(t), paymentMap)
	roundTrip(t, serde.Binary[point](), point{1, -2})
}

// TestWireFormat pins bytes that other programs read: Kafka's Java serializers, and
// the three ways to Avro.
func TestWireFormat(t *testing.T) {
	t.Parallel()
	encode := func(b []byte, err error) string { return fmt.Sprintf("%x %v", b, err) }
	if got, want := encode(serde.Int32.Encode(nil, -2)), "fffffffe <nil>"; got != want {
		t.Errorf("Int32: %s, want %s", got, want)
	}
	if got, want := encode(serde.Int64.Encode(nil, 258)), "0000000000000102 <nil>"; got != want {
		t.Errorf("Int64: %s, want %s", got, want)
	}
	if got, want := encode(serde.JSON[map[string]int]().Encode(nil, map[string]int{"b": 1, "a": 2})), encode([]byte(`{"a":2,"b":1}`), nil); got != want {
		t.Errorf("JSON sorts keys: %s, want %s", got, want)
	}
	inferred := encode(serde.Avro[payment]().Encode(nil, aPayment))
	explicit := encode(serde.AvroSchema[payment](paymentSchema).Encode(nil, aPayment))
	generic := encode(avroMap(t).Encode(nil, paymentMap))
	const want = "aab4de75" + "12636172642d34373131" + "9a01" + "f2c001" + "f6f180cbe958" +
		"02044245" + "040c6f6e6c696e650633647300" + " <nil>"
	for how, got := range map[string]string{"inferred": inferred, "explicit": explicit, "goavro": generic} {
		if got != want {
			t.Errorf("Avro, %s schema: %s, want %s", how, got, want)
		}
	}
}

// TestAvroMapIsGoavros compares AvroMap with goavro, value by value and byte by byte.
func TestAvroMapIsGoavros(t *testing.T) {
	t.Parallel()
	const schema = `{"type": "record", "name": "all", "namespace": "x.y", "fields": [
		{"name": "int", "type": "int"}, {"name": "long", "type": "long"},
		{"name": "float", "type": "float"}, {"name": "double", "type": "double"},
		{"name": "bool", "type": "boolean"}, {"name": "bytes", "type": "bytes"},
		{"name": "string", "type": "string"},
		{"name": "enum", "type": {"type": "enum", "name": "color", "symbols": ["red", "blue"]}},
		{"name": "fixed", "type": {"type": "fixed", "name": "four", "size": 4}},
		{"name": "none", "type": ["null", "string"]}, {"name": "some", "type": ["null", "string"]},
		{"name": "when", "type": ["null", {"type": "long", "logicalType": "timestamp-millis"}]},
		{"name": "map", "type": {"type": "map", "values": "long"}},
		{"name": "inner", "type": ["null", {"type": "record", "name": "in", "fields": [{"name": "n", "type": "int"}]}]}
	]}`
	value := map[string]any{
		"int": int32(1), "long": int64(2), "float": float32(0.5), "double": 0.25, "bool": true,
		"bytes": []byte{1, 2}, "string": "s", "enum": "blue", "fixed": []byte("four"),
		"none": nil, "some": map[string]any{"string": "x"},
		"when":  map[string]any{"long.timestamp-millis": time.UnixMilli(1526000000123).UTC()},
		"map":   map[string]any{"k": int64(1)},
		"inner": map[string]any{"x.y.in": map[string]any{"n": int32(7)}},
	}
	codec, err := goavro.NewCodec(schema)
	if err != nil {
		t.Fatal(err)
	}
	want, err := codec.BinaryFromNative(nil, value)
	if err != nil {
		t.Fatal(err)
	}
	s, err := serde.AvroMap(schema)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Encode(nil, value); err != nil || !bytes.Equal(got, want) {
		t.Errorf("AvroMap encodes %x, %v, goavro %x", got, err, want)
	}
	native, _, err := codec.NativeFromBinary(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Decode(want)
	if diff := cmp.Diff(native, any(got)); diff != "" || err != nil {
		t.Errorf("AvroMap decodes otherwise than goavro: %v (-goavro +AvroMap):\n%s", err, diff)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	decode := func(_ any, err error) error { return err }
	encode := func(b []byte, err error) error {
		if string(b) != "dst" {
			t.Errorf("after %v Encode returns %q, want dst as it was", err, b)
		}
		return err
	}
	dst := []byte("dst")
	type short struct{ A int32 }
	long, err := serde.JSON[map[string]int]().Encode(nil, map[string]int{"A": 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		err  error
		want []string
	}{
		{"int32", decode(serde.Int32.Decode([]byte{1})), []string{"decode int32", "1 bytes", "want 4"}},
		{"int64", decode(serde.Int64.Decode(nil)), []string{"decode int64", "0 bytes", "want 8"}},
		{"json syntax", decode(serde.JSON[payment]().Decode([]byte(`{"id":`))), []string{"json(serde_test.payment)"}},
		{"json type", decode(serde.JSON[payment]().Decode([]byte(`{"id":"x"}`))), []string{"json(serde_test.payment)", "/id"}},
		{"json range", decode(serde.JSON[short]().Decode(long)), []string{"json(serde_test.short)", "/A"}},
		{"json encode", encode(serde.JSON[chan int]().Encode(dst, nil)), []string{"encode json(chan int)"}},
		{"json NaN", encode(serde.JSON[float64]().Encode(dst, math.NaN())), []string{"encode json(float64)"}},
		{"avro cut", decode(serde.Avro[payment]().Decode([]byte{2, 10, 'a'})), []string{"decode avro(serde_test.payment)"}},
		{"avro empty", decode(serde.Avro[payment]().Decode(nil)), []string{"decode avro(serde_test.payment)"}},
		{"avro trailing", decode(serde.AvroSchema[int64](`"long"`).Decode([]byte{2, 2})), []string{"avro(int64)", "1 of 2 bytes", "another schema"}},
		{"avro no schema", encode(serde.Avro[int]().Encode(dst, 1)), []string{"avro(int)"}},
		{"avro bad schema", decode(serde.AvroSchema[payment](`{"type":`).Decode(nil)), []string{"avro(serde_test.payment)"}},
		{"avro misfit", encode(serde.AvroSchema[short](`"string"`).Encode(dst, short{})), []string{"encode avro(serde_test.short)"}},
		{"avro map cut", decode(avroMap(t).Decode([]byte{2})), []string{"decode avro map(payment)"}},
		{"avro map misfit", encode(avroMap(t).Encode(dst, map[string]any{"id": "x"})), []string{"encode avro map(payment)"}},
		{"binary decode", decode(serde.Binary[point]().Decode([]byte{1})), []string{"decode binary(serde_test.point)", "1 bytes"}},
		{"binary encode", encode(serde.Binary[point]().Encode(dst, point{X: math.MinInt32})), []string{"encode binary(serde_test.point)", "no such point"}},
	} {
		if test.err == nil {
			t.Errorf("%s: no error", test.name)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(test.err.Error(), want) {
				t.Errorf("%s: %q does not say %q", test.name, test.err, want)
			}
		}
	}
	for _, schema := range []string{`{"type":`, `"string"`} {
		if _, err := serde.AvroMap(schema); err == nil {
			t.Errorf("AvroMap takes the schema %s", schema)
		}
	}
	var failed *serde.Error
	if _, err := serde.Int32.Decode(nil); !errors.As(err, &failed) || failed.Op != "decode" || failed.Serde != "int32" {
		t.Errorf("errors.As gives %+v", failed)
	}
}

func TestValid(t *testing.T) {
	t.Parallel()
	if err := serde.Avro[int]().Valid(); err == nil || !strings.Contains(err.Error(), "avro(int)") {
		t.Errorf("Avro[int] is valid: %v", err)
	}
	if err := (serde.Serde[int]{Name: "mine"}).Valid(); err == nil || !strings.Contains(err.Error(), "mine") {
		t.Errorf("a serde without functions is valid: %v", err)
	}
}

// TestEncodeAllocations keeps the cheap serdes free of allocations.
func TestEncodeAllocations(t *testing.T) {
	buf := make([]byte, 0, 1024)
	zero := map[string]func(){
		"string": func() { buf, _ = serde.String.Encode(buf[:0], "a key") },
		"int64":  func() { buf, _ = serde.Int64.Encode(buf[:0], 1) },
	}
	for name, f := range zero {
		if got := testing.AllocsPerRun(100, f); got != 0 {
			t.Errorf("encoding %s allocates %v times", name, got)
		}
	}
}

func ExampleJSON() {
	type card struct {
		Number string `json:"number"`
		Limit  int    `json:"limit"`
	}
	cards := serde.JSON[card]()
	b, err := cards.Encode(nil, card{"4711", 500})
	fmt.Println(string(b), err)
	_, err = cards.Decode([]byte(`{"number": 4711}`))
	fmt.Println(err != nil)
	// Output:
	// {"number":"4711","limit":500} <nil>
	// true
}

func ExampleAvro() {
	type card struct {
		Number string `avro:"number"`
		Limit  int64  `avro:"limit"`
	}
	cards := serde.Avro[card]()
	b, err := cards.Encode(nil, card{"4711", 500})
	fmt.Printf("%q %v\n", b, err)
	c, err := cards.Decode(b)
	fmt.Println(c.Number, c.Limit, err)
	// Output:
	// "\b4711\xe8\a" <nil>
	// 4711 500 <nil>
}

func fuzz[T any](f *testing.F, s serde.Serde[T], seeds ...T) {
	for _, v := range seeds {
		b, err := s.Encode(nil, v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := s.Decode(b)
		if err != nil {
			var at *serde.Error
			if !errors.As(err, &at) {
				t.Fatalf("error %v is not a serde.Error", err)
			}
			return
		}
		again, err := s.Encode(nil, v)
		if err != nil {
			return // decoding is more liberal than encoding
		}
		if _, err := s.Decode(again); err != nil {
			t.Fatalf("%q decodes, what it encodes to (%q) does not: %v", b, again, err)
		}
	})
}

func FuzzDecodeInt32(f *testing.F)  { fuzz(f, serde.Int32, 1) }
func FuzzDecodeInt64(f *testing.F)  { fuzz(f, serde.Int64, 1) }
func FuzzDecodeString(f *testing.F) { fuzz(f, serde.String, "a") }
func FuzzDecodeBytes(f *testing.F)  { fuzz(f, serde.Bytes, []byte("a")) }
func FuzzDecodeJSON(f *testing.F)   { fuzz(f, serde.JSON[payment](), aPayment) }
func FuzzDecodeAvro(f *testing.F)   { fuzz(f, serde.Avro[payment](), aPayment) }
func FuzzDecodeAvroMap(f *testing.F) {
	fuzz(f, avroMap(f), paymentMap)
}
func FuzzDecodeBinary(f *testing.F) { fuzz(f, serde.Binary[point](), point{1, 2}) }

func bench[T any](b *testing.B, codec string, s serde.Serde[T], v T) {
	buf, err := s.Encode(nil, v)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("codec="+codec+"/op=encode", func(b *testing.B) {
		b.ReportAllocs()
		out := make([]byte, 0, 1024)
		for b.Loop() {
			out, _ = s.Encode(out[:0], v)
		}
		b.ReportMetric(float64(len(out)), "B/value")
	})
	b.Run("codec="+codec+"/op=decode", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := s.Decode(buf); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkSerde(b *testing.B) {
	bench(b, "string", serde.String, "card-4711")
	bench(b, "int64", serde.Int64, 4711)
	bench(b, "json", serde.JSON[payment](), aPayment)
	bench(b, "avro", serde.Avro[payment](), aPayment)
	bench(b, "avromap", avroMap(b), paymentMap)
	bench(b, "binary", serde.Binary[point](), point{1, 2})
}
