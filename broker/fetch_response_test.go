package broker

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The encoder that does not copy records writes what kmsg writes.
func TestFetchResponseIsEncodedAsByKmsg(t *testing.T) {
	t.Parallel()
	const seed = 9
	rng := rand.New(rand.NewPCG(seed, seed))
	for version := int16(4); version <= 18; version++ {
		for range 50 {
			resp := randomFetchResponse(version, rng)
			want := resp.AppendTo(nil)
			fields, cuts := (&fetchResponse{FetchResponse: resp}).appendCut(nil)
			var got []byte
			from := 0
			for _, c := range cuts {
				got = append(append(got, fields[from:c.at]...), c.records...)
				from = c.at
			}
			got = append(got, fields[from:]...)
			if !bytes.Equal(want, got) {
				t.Fatalf("seed %d: v%d (-kmsg +ours):\n%s", seed, version, cmp.Diff(want, got))
			}
		}
	}
}

// randomFetchResponse has random values in all fields that the broker fills in.
func randomFetchResponse(version int16, rng *rand.Rand) *kmsg.FetchResponse {
	resp := kmsg.NewPtrFetchResponse()
	resp.ErrorCode, resp.SessionID = int16(rng.Int32()), rng.Int32()
	for range rng.IntN(3) {
		st := kmsg.NewFetchResponseTopic()
		fill(reflect.ValueOf(&st.Topic).Elem(), rng)
		st.TopicID[3] = byte(rng.Uint32())
		for range rng.IntN(4) {
			sp := kmsg.NewFetchResponseTopicPartition()
			sp.Partition, sp.ErrorCode = rng.Int32(), int16(rng.Int32())
			sp.HighWatermark, sp.LastStableOffset, sp.LogStartOffset = rng.Int64(), rng.Int64(), rng.Int64()
			if rng.IntN(2) == 0 {
				sp.DivergingEpoch.Epoch, sp.DivergingEpoch.EndOffset = rng.Int32(), rng.Int64()
			}
			if n := rng.IntN(3); n > 0 {
				sp.AbortedTransactions = make([]kmsg.FetchResponseTopicPartitionAbortedTransaction, n-1)
			}
			sp.RecordBatches = make([]byte, []int{0, 1, 126, 127, 128, 20_000}[rng.IntN(6)])
			for i := range sp.RecordBatches {
				sp.RecordBatches[i] = byte(i)
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	resp.SetVersion(version)
	return resp
}
