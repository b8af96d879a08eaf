package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	runtimemetrics "runtime/metrics"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// fill sets all exported fields of a message to random values of random length.
func fill(v reflect.Value, rng *rand.Rand) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() && rng.IntN(2) == 0 && v.CanSet() {
			return // null
		}
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		fill(v.Elem(), rng)
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if f.Name == "UnknownTags" {
				if tags := v.Field(i).Addr().Interface().(*kmsg.Tags); rng.IntN(3) == 0 {
					tags.Set(1000+rng.Uint32N(9), make([]byte, rng.IntN(20)))
				}
			} else if f.Name != "Version" && f.IsExported() {
				fill(v.Field(i), rng)
			}
		}
	case reflect.Slice:
		n := rng.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(v.Index(i), rng)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(v.Index(i), rng)
		}
	case reflect.String:
		v.SetString("abcdefgh"[:rng.IntN(9)])
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.Int32()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		v.SetUint(uint64(rng.Uint32()))
	}
}

// randomRequest is a request with random contents.
func randomRequest(key, version int16, rng *rand.Rand) kmsg.Request {
	req := kmsg.RequestForKey(key)
	fill(reflect.ValueOf(req), rng)
	req.SetVersion(version)
	return req
}

// Whatever kmsg encodes has the shape that is written down here: all of it is
// walked, and no byte more. And what is cut short is refused.
func TestShapesAreThoseOfTheProtocol(t *testing.T) {
	t.Parallel()
	const seed = 3
	rng := rand.New(rand.NewPCG(seed, seed))
	for _, a := range apis() {
		for version := a.min; version <= a.max; version++ {
			for range 50 {
				req := randomRequest(a.key, version, rng)
				body := req.AppendTo(nil)
				if _, err := checkShape(req, body); err != nil {
					t.Fatalf("seed %d: %s v%d: %v\n%+v", seed, apiName(a.key), version, err, req)
				}
				w := shapeWalk{left: body, version: version, flexible: req.IsFlexible()}
				if w.fields(shapes[a.key]); len(w.left) != 0 {
					t.Fatalf("seed %d: %s v%d: %d of %d bytes were not walked\n%+v", seed, apiName(a.key), version, len(w.left), len(body), req)
				}
				if cut := rng.IntN(len(body) + 1); cut < len(body) {
					if _, err := checkShape(req, body[:cut]); !errors.Is(err, errFrame) {
						t.Fatalf("seed %d: %s v%d cut to %d of %d bytes: %v, want errFrame", seed, apiName(a.key), version, cut, len(body), err)
					}
				}
			}
		}
	}
}

func TestShapeLimits(t *testing.T) {
	t.Parallel()
	topics := func(n int) *kmsg.MetadataRequest {
		req := kmsg.NewPtrMetadataRequest()
		req.Version = 9
		for range n {
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = kmsg.StringPtr("")
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	req := topics(maxArrayLen)
	if _, err := checkShape(req, req.AppendTo(nil)); err != nil {
		t.Errorf("%d topics: %v", maxArrayLen, err)
	}
	req = topics(maxArrayLen + 1)
	if _, err := checkShape(req, req.AppendTo(nil)); !errors.Is(err, errFrame) {
		t.Errorf("%d topics: %v, want errFrame", maxArrayLen+1, err)
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 4
	for range maxElements / 100 {
		rt := kmsg.NewFetchRequestTopic()
		rt.Partitions = make([]kmsg.FetchRequestTopicPartition, 100)
		fetch.Topics = append(fetch.Topics, rt)
	}
	if _, err := checkShape(fetch, fetch.AppendTo(nil)); !errors.Is(err, errFrame) {
		t.Errorf("%d elements: %v, want errFrame", maxElements+maxElements/100, err)
	}
}

// allocatedBytes is how much the process has allocated until now, in spans: small
// allocations count when their span is full. It does not stop the world.
func allocatedBytes() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// Allocates runs f, which returns how many bytes it may allocate, and returns how many
// it did. What other goroutines allocate meanwhile counts too, so more than the limit is
// measured again, for a quiet moment.
func Allocates(f func() uint64) (got, limit uint64) {
	for range 5 {
		before := allocatedBytes()
		limit = f()
		if got = allocatedBytes() - before; got <= limit {
			break
		}
	}
	return got, limit
}

// decodes holds what decoding a body allocates against what checkShape said that it
// would.
func decodes(t *testing.T, req kmsg.Request, body []byte) (decoded int64, err error) {
	t.Helper()
	if decoded, err = checkShape(req, body); err != nil {
		return 0, err
	}
	got, limit := Allocates(func() uint64 {
		err = req.ReadFrom(body)
		return uint64(decodeFactor*decoded + 64<<10)
	})
	if got > limit {
		t.Errorf("%s v%d: %d bytes made the decoder allocate %d, foreseen were %d", apiName(req.Key()), req.GetVersion(), len(body), got, decoded)
	}
	return decoded, err
}

// What a request takes decoded is known before: for elements of which there are many,
// for strings of any length, and for tagged fields. Real requests take no more than
// they may by their size.
func TestDecodedSizeIsForeseen(t *testing.T) { // not parallel: it measures the process
	const n = 5000
	tagged := func(tags int) (req kmsg.MetadataRequest) {
		req.Version = 10
		for range n / tags {
			rt := kmsg.NewMetadataRequestTopic()
			for i := range tags {
				rt.UnknownTags.Set(uint32(1000+i), nil)
			}
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	named := func(version int16, name string) (req kmsg.MetadataRequest) {
		req.Version = version
		for range n {
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = &name
			req.Topics = append(req.Topics, rt)
		}
		return req
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 12
	fetch.Topics = make([]kmsg.FetchRequestTopic, n)
	real := kmsg.NewPtrFetchRequest()
	real.Version = 13
	for range 10 {
		rt := kmsg.NewFetchRequestTopic()
		rt.Partitions = slices.Repeat([]kmsg.FetchRequestTopicPartition{kmsg.NewFetchRequestTopicPartition()}, n/10)
		real.Topics = append(real.Topics, rt)
	}
	groups := kmsg.NewPtrDeleteGroupsRequest()
	groups.Groups = make([]string, n)
	one, eight, nine, hundred := tagged(1), tagged(8), tagged(9), tagged(100)
	unnamed, short, long := named(9, ""), named(1, "a"), named(12, "a-topic-with-a-name")
	for name, tc := range map[string]struct {
		req  kmsg.Request
		real bool
	}{
		"one tag":      {&one, false},
		"eight tags":   {&eight, false},
		"nine tags":    {&nine, false},
		"hundred tags": {&hundred, false},
		"no names":     {&unnamed, false},
		"short names":  {&short, false},
		"long names":   {&long, true},
		"empty topics": {fetch, false},
		"partitions":   {real, true},
		"empty groups": {groups, false},
	} {
		body := tc.req.AppendTo(nil)
		decoded, err := decodes(t, tc.req, body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if free := freeDecodedBytes(len(body)); (decoded <= free) != tc.real {
			t.Errorf("%s: %d bytes take %d decoded, %d are free: %v, want %v", name, len(body), decoded, free, decoded <= free, tc.real)
		}
	}
}

// FuzzRequest feeds bytes to the decoder of each request: no panic, and no more is
// allocated than was foreseen, and by that limited.
func FuzzRequest(f *testing.F) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, seed))
	served := apisByKey()
	for _, a := range apis() {
		for version := a.min; version <= a.max; version++ {
			f.Add(a.key, version, randomRequest(a.key, version, rng).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		a, ok := served[key]
		if !ok || version < a.min || version > a.max {
			return
		}
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		if _, err := decodes(t, req, body); err == nil {
			_ = req.AppendTo(nil)
		}
	})
}

func BenchmarkCheckShape(b *testing.B) {
	for _, partitions := range []int{1, 100} {
		b.Run(fmt.Sprintf("partitions=%d", partitions), func(b *testing.B) {
			req := kmsg.NewPtrFetchRequest()
			req.Version = 13
			rt := kmsg.NewFetchRequestTopic()
			rt.Partitions = make([]kmsg.FetchRequestTopicPartition, partitions)
			req.Topics = append(req.Topics, rt)
			body := req.AppendTo(nil)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := checkShape(req, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
