package record

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(b Batch) Batch // the checksum is made right again
		want   error
		text   string
	}{
		{"no bytes", func(Batch) Batch { return nil }, ErrShort, ""},
		{"cut", func(b Batch) Batch { return b[:len(b)-1] }, ErrShort, ""},
		{"magic", func(b Batch) Batch { b[16] = 1; return b }, ErrCorrupt, "magic byte 1"},
		{"two batches", func(b Batch) Batch { return append(b, b...) }, ErrInvalid, "one batch"},
		{"no records", func(b Batch) Batch { put32(b, 57, 0); put32(b, 23, -1); return b }, ErrInvalid, "0 records"},
		{"negative count", func(b Batch) Batch { put32(b, 57, -3); put32(b, 23, -4); return b }, ErrInvalid, "-3 records"},
		{"count above the offsets", func(b Batch) Batch { put32(b, 57, 4); return b }, ErrInvalid, "4 records"},
		{"offsets above the count", func(b Batch) Batch { put32(b, 23, 3); return b }, ErrInvalid, "last offset delta is 3"},
		{"largest offset delta", func(b Batch) Batch { put32(b, 23, 1<<31-1); put32(b, 57, -1<<31); return b }, ErrInvalid, "records"},
		{"one record less", func(b Batch) Batch { put32(b, 57, 2); put32(b, 23, 1); return b }, ErrInvalid, "bytes after"},
		{"one record more", func(b Batch) Batch { put32(b, 57, 4); put32(b, 23, 3); return b }, ErrInvalid, "record 3"},
		{"sparse offsets", func(b Batch) Batch { b[HeaderLen+3] = 2; return b }, ErrInvalid, "offset delta 1, want 0"},
		{"control batch", func(b Batch) Batch { put16(b, 21, 0x30); put64(b, 43, 1); return b }, ErrInvalid, "control"},
		{"broker's timestamps", func(b Batch) Batch { put16(b, 21, 0x08); return b }, ErrInvalid, "LogAppendTime"},
		{"codec 5", func(b Batch) Batch { put16(b, 21, 5); return b }, ErrInvalid, "unknown codec 5"},
		{"transaction of nobody", func(b Batch) Batch { put16(b, 21, 0x10); return b }, ErrInvalid, "producer id"},
		{"producer without epoch", func(b Batch) Batch { put64(b, 43, 7); put32(b, 53, 0); return b }, ErrInvalid, "epoch -1"},
		{"producer without sequence", func(b Batch) Batch { put64(b, 43, 7); put16(b, 51, 0); return b }, ErrInvalid, "sequence -1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := c.change(batchOf(t))
			if c.want == ErrInvalid {
				b[:b.Size()].seal()
			}
			before := slices.Clone(b)
			for name, check := range map[string]func() error{"Validate": b.Validate, "Admit": b.Admit} {
				if err := check(); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
					t.Errorf("%s: %v, want %v with %q", name, err, c.want, c.text)
				}
			}
			if !slices.Equal(b, before) {
				t.Error("a batch that was refused has changed")
			}
		})
	}
}

// A flip anywhere is found, but for the fields that the broker writes itself.
func TestValidateFindsEachFlip(t *testing.T) {
	t.Parallel()
	b := batchOf(t)
	for i := range b {
		for bit := range 8 {
			b[i] ^= 1 << bit
			err := b.Validate()
			b[i] ^= 1 << bit
			brokers := i < 8 || i >= 12 && i < 16
			if damaged := errors.Is(err, ErrCorrupt) || errors.Is(err, ErrShort); damaged == brokers {
				t.Errorf("byte %d bit %d flipped: %v", i, bit, err)
			}
		}
	}
}

func TestValidateAccepts(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(Batch){
		"idempotent":    func(b Batch) { put64(b, 43, 7); put16(b, 51, 0); put32(b, 53, 1<<31-1) },
		"transactional": func(b Batch) { put64(b, 43, 7); put16(b, 51, 0); put32(b, 53, 0); put16(b, 21, 0x10) },
		// Its records are not opened, so nothing about them can be wrong.
		"compressed":                           func(b Batch) { put16(b, 21, 4) },
		"sequence without a producer (sarama)": func(b Batch) { put32(b, 53, 0) },
	} {
		b := batchOf(t)
		change(b)
		b.seal()
		if err := b.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAdmitCorrectsTheLargestTimestamp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		attributes int16
		stated     int64
		want       int64
	}{
		{"never filled in", 0, -1, 3000},
		{"too small", 0, 2000, 3000},
		{"too large", 0, 4000, 3000},
		{"right", 0, 3000, 3000},
		{"compressed, never filled in", 4, -1, 1000},
		{"compressed", 4, 4000, 4000},
	} {
		b := batchOf(t)
		put16(b, 21, c.attributes)
		put64(b, 35, c.stated)
		b.seal()
		if err := b.Admit(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := b.MaxTimestamp(); got != c.want {
			t.Errorf("%s: largest timestamp %d, want %d", c.name, got, c.want)
		}
		if err := b.Check(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestSetLogAppendTime(t *testing.T) {
	t.Parallel()
	b := batchOf(t)
	put16(b, 21, 0x10)
	b.SetLogAppendTime(77)
	if err := b.Check(); err != nil {
		t.Error(err)
	}
	if a := b.Attributes(); !a.LogAppendTime() || !a.Transactional() || a.Codec() != None {
		t.Errorf("attributes %#x, want 0x18", a)
	}
	records, err := collect(b)
	if err != nil {
		t.Fatal(err)
	}
	var got []int64
	for _, r := range records {
		got = append(got, r.Timestamp)
	}
	if diff := cmp.Diff([]int64{77, 77, 77}, got); diff != "" {
		t.Errorf("timestamps (-want +got):\n%s", diff)
	}
}

func TestBuilderResets(t *testing.T) {
	t.Parallel()
	var w Builder
	if b := w.Finish(); b != nil {
		t.Errorf("an empty batch has %d bytes", len(b))
	}
	w.SetProducer(7, 1, 5)
	w.Append(1, nil, []byte("a"))
	if b := w.Finish(); b.ProducerID() != 7 || b.ProducerEpoch() != 1 || b.BaseSequence() != 5 {
		t.Errorf("producer %d epoch %d sequence %d, want 7, 1, 5", b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
	}
	// More records after Finish belong to the same batch.
	w.Append(2, nil, []byte("b"))
	if b := w.Finish(); b.Count() != 2 || b.Validate() != nil {
		t.Errorf("%d records, %v; want 2", b.Count(), b.Validate())
	}
	w.Reset()
	if w.Count() != 0 || w.Size() != 0 || w.Finish() != nil {
		t.Error("Reset left records")
	}
	w.Append(3, nil, nil)
	if b := w.Finish(); b.ProducerID() != -1 || b.ProducerEpoch() != -1 || b.BaseSequence() != -1 || b.BaseTimestamp() != 3 {
		t.Error("Reset left the producer or the time")
	}
}
