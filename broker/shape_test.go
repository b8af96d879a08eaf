package broker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	runtimemetrics "runtime/metrics"
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
				if err := checkShape(req, body); err != nil {
					t.Fatalf("seed %d: %s v%d: %v\n%+v", seed, apiName(a.key), version, err, req)
				}
				w := shapeWalk{left: body, version: version, flexible: req.IsFlexible()}
				if w.fields(shapes[a.key]); len(w.left) != 0 {
					t.Fatalf("seed %d: %s v%d: %d of %d bytes were not walked\n%+v", seed, apiName(a.key), version, len(w.left), len(body), req)
				}
				if cut := rng.IntN(len(body) + 1); cut < len(body) {
					if err := checkShape(req, body[:cut]); !errors.Is(err, errFrame) {
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
	if err := checkShape(req, req.AppendTo(nil)); err != nil {
		t.Errorf("%d topics: %v", maxArrayLen, err)
	}
	req = topics(maxArrayLen + 1)
	if err := checkShape(req, req.AppendTo(nil)); !errors.Is(err, errFrame) {
		t.Errorf("%d topics: %v, want errFrame", maxArrayLen+1, err)
	}
	fetch := kmsg.NewPtrFetchRequest()
	fetch.Version = 4
	for range maxElements / 100 {
		rt := kmsg.NewFetchRequestTopic()
		rt.Partitions = make([]kmsg.FetchRequestTopicPartition, 100)
		fetch.Topics = append(fetch.Topics, rt)
	}
	if err := checkShape(fetch, fetch.AppendTo(nil)); !errors.Is(err, errFrame) {
		t.Errorf("%d elements: %v, want errFrame", maxElements+maxElements/100, err)
	}
}

// decode is what a connection does with the body of a request.
func decode(req kmsg.Request, body []byte) error {
	if err := checkShape(req, body); err != nil {
		return err
	}
	return req.ReadFrom(body)
}

// allocatedBytes is how much the process has allocated until now, in spans: small
// allocations count when their span is full. It does not stop the world.
func allocatedBytes() uint64 {
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	runtimemetrics.Read(sample)
	return sample[0].Value.Uint64()
}

// allocates returns how many bytes f allocates. What other goroutines allocate
// meanwhile counts too, so more than the limit is measured again, for a quiet moment.
func allocates(limit uint64, f func()) (got uint64) {
	for range 5 {
		before := allocatedBytes()
		f()
		if got = allocatedBytes() - before; got <= limit {
			break
		}
	}
	return got
}

// FuzzRequest feeds bytes to the decoder of each request: no panic, and what is
// allocated is bounded by what was sent.
func FuzzRequest(f *testing.F) {
	const seed = 5
	rng := rand.New(rand.NewPCG(seed, seed))
	for _, a := range apis() {
		for version := a.min; version <= a.max; version++ {
			f.Add(a.key, version, randomRequest(a.key, version, rng).AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		a, ok := apisByKey()[key]
		if !ok || version < a.min || version > a.max {
			return
		}
		req := kmsg.RequestForKey(key)
		req.SetVersion(version)
		// kmsg's structs take up to 64 bytes for one on the wire.
		limit := uint64(64<<10 + 100*len(body))
		var err error
		if got := allocates(limit, func() { err = decode(req, body) }); got > limit {
			t.Errorf("%s v%d: %d bytes made the decoder allocate %d", apiName(key), version, len(body), got)
		}
		if err == nil {
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
				if err := checkShape(req, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
