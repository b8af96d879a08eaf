package group

import (
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestOffsetRecordRoundTrip(t *testing.T) {
	t.Parallel()
	want := Committed{
		Offset: 42, LeaderEpoch: 7, Metadata: "m", TopicID: [16]byte{1, 2, 3},
		Time: time.UnixMilli(1_700_000_000_123),
	}
	r := OffsetRecord("g", "t", 3, want)
	got, err := Decode(r.Key, r.Value)
	if err != nil {
		t.Fatal(err)
	}
	wantEntry := Entry{Group: "g", Topic: "t", Partition: 3, Committed: want}
	if diff := cmp.Diff(wantEntry, got, cmpopts.IgnoreUnexported(Entry{})); diff != "" {
		t.Errorf("Decode (-want +got):\n%s", diff)
	}
	r = OffsetTombstone("g", "t", 3)
	got, err = Decode(r.Key, r.Value)
	if err != nil {
		t.Fatal(err)
	}
	wantEntry = Entry{Group: "g", Topic: "t", Partition: 3, Deleted: true}
	if diff := cmp.Diff(wantEntry, got, cmpopts.IgnoreUnexported(Entry{})); diff != "" {
		t.Errorf("Decode of a tombstone (-want +got):\n%s", diff)
	}
}

// The bytes are Kafka's, after OffsetCommitKey.json, OffsetCommitValue.json,
// GroupMetadataKey.json and GroupMetadataValue.json, written by hand: code that
// encodes and decodes with the same library could be wrong both times.
func TestDecodeKafkaBytes(t *testing.T) {
	t.Parallel()
	const (
		offsetKey = "0001" + "000167" + "000174" + "00000003" // version 1, "g", "t", 3
		groupKey  = "0002" + "000167"
	)
	tests := []struct {
		name, key, value string
		want             Entry
	}{
		{
			"offset v0", "0000" + "000167" + "000174" + "00000003",
			"0000" + "000000000000002a" + "00016d" + "0000018bcfe56800",
			Entry{Group: "g", Topic: "t", Partition: 3, Committed: Committed{
				Offset: 42, LeaderEpoch: -1, Metadata: "m", Time: time.UnixMilli(1_700_000_000_000),
			}},
		},
		{
			"offset v1 with expiry", offsetKey,
			"0001" + "000000000000002a" + "0000" + "0000018bcfe56800" + "0000018bcfe56801",
			Entry{Group: "g", Topic: "t", Partition: 3, Committed: Committed{
				Offset: 42, LeaderEpoch: -1, Time: time.UnixMilli(1_700_000_000_000),
			}},
		},
		{
			"offset v3", offsetKey,
			"0003" + "000000000000002a" + "00000005" + "00016d" + "0000018bcfe56800",
			Entry{Group: "g", Topic: "t", Partition: 3, Committed: Committed{
				Offset: 42, LeaderEpoch: 5, Metadata: "m", Time: time.UnixMilli(1_700_000_000_000),
			}},
		},
		{
			"group v3", groupKey,
			"0003" + "0008" + hex.EncodeToString([]byte("consumer")) + "00000009" + "000172" + "00016c" + "0000018bcfe56800" +
				"00000001" + "00016c" + "000169" + "000163" + "000168" + "0000ea60" + "00002710" + "00000001aa" + "00000001bb",
			Entry{Group: "g", membership: &kmsg.GroupMetadataValue{
				Version: 3, ProtocolType: "consumer", Generation: 9, Protocol: nullable("r"), Leader: nullable("l"),
				CurrentStateTimestamp: 1_700_000_000_000,
				Members: []kmsg.GroupMetadataValueMember{{
					MemberID: "l", InstanceID: nullable("i"), ClientID: "c", ClientHost: "h",
					RebalanceTimeoutMillis: 60_000, SessionTimeoutMillis: 10_000,
					Subscription: []byte{0xaa}, Assignment: []byte{0xbb},
				}},
			}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, _ := hex.DecodeString(tt.key)
			value, _ := hex.DecodeString(tt.value)
			got, err := Decode(key, value)
			if err != nil {
				t.Fatal(err)
			}
			opts := cmp.Options{cmp.AllowUnexported(Entry{}), cmpopts.IgnoreUnexported(kmsg.Tags{})}
			if diff := cmp.Diff(tt.want, got, opts); diff != "" {
				t.Errorf("Decode (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	offset := OffsetRecord("g", "t", 0, Committed{})
	tests := []struct {
		name       string
		key, value []byte
		want       error
	}{
		{"empty key", nil, nil, ErrCorruptRecord},
		{"key of a consumer group of KIP-848", []byte{0, 3, 0, 1, 'g'}, []byte{0, 0}, ErrUnknownRecord},
		{"negative key version", []byte{0xff, 0xff}, nil, ErrUnknownRecord},
		{"short key", offset.Key[:5], offset.Value, ErrCorruptRecord},
		{"no topic", []byte{0, 1, 0, 1, 'g', 0, 0, 0, 0, 0, 0}, offset.Value, ErrCorruptRecord},
		{"short value", offset.Key, offset.Value[:9], ErrCorruptRecord},
		{"empty value", offset.Key, []byte{}, ErrCorruptRecord},
		{"newer value", offset.Key, append([]byte{0, 5}, offset.Value[2:]...), ErrUnknownRecord},
		{"newer group", []byte{0, 2, 0, 1, 'g'}, []byte{0, 4}, ErrUnknownRecord},
		{"short group", []byte{0, 2, 0, 1, 'g'}, []byte{0, 3, 0}, ErrCorruptRecord},
		{"short group key", []byte{0, 2, 0}, []byte{0, 3, 0}, ErrCorruptRecord},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Decode(tt.key, tt.value); !errors.Is(err, tt.want) {
				t.Errorf("Decode = %v, want %v", err, tt.want)
			}
		})
	}
}

// What is in the log was written by us, or by somebody who produced to it.
func FuzzDecode(f *testing.F) {
	offset := OffsetRecord("g", "t", 1, Committed{Offset: 5, Metadata: "m", TopicID: [16]byte{1}})
	f.Add(offset.Key, offset.Value)
	g := New("g", Config{})
	g.Join(epoch, 1, JoinRequest{
		SessionTimeout: time.Minute, ProtocolType: "consumer", NewMemberID: "m", InstanceID: "i",
		Protocols: []Protocol{{Name: "range", Metadata: []byte{1}}},
	})
	member := g.snapshot(nil)
	f.Add(member.Key, member.Value)
	f.Add(offset.Key, []byte(nil))
	f.Add([]byte{0, 3}, []byte{0})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(value) > 1<<16 {
			return
		}
		e, err := Decode(key, value)
		if err != nil {
			return
		}
		g := New(e.Group, Config{})
		g.Restore(e)
		g.Resume(epoch)
		g.Tick(epoch.Add(time.Hour))
		if e.Topic == "" {
			return
		}
		again := OffsetRecord(e.Group, e.Topic, e.Partition, e.Committed)
		if e.Deleted {
			again = OffsetTombstone(e.Group, e.Topic, e.Partition)
		}
		e2, err := Decode(again.Key, again.Value)
		if err != nil {
			t.Fatalf("Decode of its own encoding: %v", err)
		}
		if diff := cmp.Diff(e, e2, cmp.AllowUnexported(Entry{})); diff != "" {
			t.Errorf("round trip (-first +second):\n%s", diff)
		}
	})
}
