package record

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The files below testdata/captured are the bytes of produce requests, taken from
// three clients that share no code: franz-go, sarama and librdkafka (kcat -P -K:
// -H trace=abc). Each sent the same three records with each codec; kcat cannot
// send nulls and takes the time of day.
func TestCapturedBatches(t *testing.T) {
	t.Parallel()
	payment := func(i string) []byte { return []byte(strings.Repeat("payment "+i+" ", 10)) }
	wants := map[string][]Record{
		"librdkafka": {
			{Offset: 0, Key: []byte("card-0"), Value: payment("0"), Headers: []Header{{"trace", []byte("abc")}}},
			{Offset: 1, Key: []byte("card-1"), Value: payment("1"), Headers: []Header{{"trace", []byte("abc")}}},
			{Offset: 2, Key: []byte("card-2"), Value: payment("2"), Headers: []Header{{"trace", []byte("abc")}}},
		},
		"franz-go": {
			{Offset: 0, Timestamp: 1700000000000, Key: []byte("card-0"), Value: payment("0")},
			{Offset: 1, Timestamp: 1700000001000, Value: payment("1"), Headers: []Header{{"trace", []byte{1, 2, 3}}, {"none", nil}}},
			{Offset: 2, Timestamp: 1700000002000, Key: []byte("card-2")},
		},
	}
	wants["sarama"] = wants["franz-go"]

	for client, want := range wants {
		for codec := None; codec <= Zstd; codec++ {
			t.Run("client="+client+"/codec="+codec.String(), func(t *testing.T) {
				t.Parallel()
				b := readHex(t, filepath.Join("testdata", "captured", client+"-"+codec.String()+".hex"))
				before := slices.Clone(b)
				if err := b.Validate(); err != nil {
					t.Fatal(err)
				}
				if err := b.Admit(); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(b, before) {
					t.Error("Admit changed a batch that is right")
				}
				if got := b.Attributes().Codec(); got != codec {
					t.Errorf("codec %v, want %v", got, codec)
				}
				if codec != None {
					_, err := collect(b)
					if !errors.Is(err, ErrCompressed) || !strings.Contains(err.Error(), codec.String()) {
						t.Errorf("Records: %v, want ErrCompressed that names %v", err, codec)
					}
					b = uncompress(t, b)
				}
				got, err := collect(b)
				if err != nil {
					t.Fatal(err)
				}
				if client == "librdkafka" {
					for i := range got {
						if age := b.MaxTimestamp() - got[i].Timestamp; age < 0 || age > 10_000 {
							t.Errorf("record %d is %d ms older than the newest", i, age)
						}
						got[i].Timestamp = 0
					}
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			})
		}
	}
}

// collect copies the records of a batch.
func collect(b Batch) (records []Record, err error) {
	for r, err := range b.Records() {
		if err != nil {
			return records, err
		}
		r.Headers = slices.Clone(r.Headers)
		records = append(records, r)
	}
	return records, nil
}

// uncompress builds the batch that its client would have sent without a codec.
func uncompress(t *testing.T, b Batch) Batch {
	t.Helper()
	payload, err := kgo.DefaultDecompressor().Decompress(b.Payload(), kgo.CompressionCodecType(b.Attributes().Codec()))
	if err != nil {
		t.Fatal(err)
	}
	plain := append(slices.Clone(b[:HeaderLen]), payload...)
	binary.BigEndian.PutUint32(plain[8:], uint32(len(plain)-lengthEnd))
	binary.BigEndian.PutUint16(plain[21:], uint16(plain.Attributes())&^7)
	plain.seal()
	if err := plain.Validate(); err != nil {
		t.Fatalf("once uncompressed: %v", err)
	}
	return plain
}

func readHex(t testing.TB, name string) Batch {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var digits []byte
	for line := range bytes.Lines(text) {
		if line[0] != '#' {
			digits = append(digits, bytes.TrimSpace(line)...)
		}
	}
	b, err := hex.AppendDecode(nil, digits)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
