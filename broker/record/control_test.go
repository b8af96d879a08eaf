package record

import (
	"encoding/hex"
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// A control batch reads back, and kmsg, which is not ours, reads the same in it.
func TestControlBatch(t *testing.T) {
	t.Parallel()
	for _, want := range []Marker{
		{ProducerID: 7, Epoch: 3, Commit: true, CoordinatorEpoch: 5},
		{ProducerID: 1 << 40, Epoch: 0, CoordinatorEpoch: 0},
	} {
		b := ControlBatch(want, 1000)
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		got, err := b.Marker()
		if err != nil || got != want {
			t.Errorf("Marker() = %+v, %v, want %+v", got, err, want)
		}
		if a := b.Attributes(); !a.Control() || !a.Transactional() || b.BaseSequence() != -1 {
			t.Errorf("attributes %x, sequence %d", a, b.BaseSequence())
		}
		for r, err := range b.Records() {
			if err != nil {
				t.Fatal(err)
			}
			k, v := kmsg.NewControlRecordKey(), kmsg.NewEndTxnMarker()
			if err := errors.Join(k.ReadFrom(r.Key), v.ReadFrom(r.Value)); err != nil {
				t.Fatal(err)
			}
			if (k.Type == kmsg.ControlRecordKeyTypeCommit) != want.Commit || v.CoordinatorEpoch != want.CoordinatorEpoch {
				t.Errorf("kmsg reads %+v and %+v, want %+v", k, v, want)
			}
		}
		if err := b.Validate(); !errors.Is(err, ErrInvalid) {
			t.Errorf("a client's control batch: %v, want ErrInvalid", err)
		}
	}
}

func TestMarkerRefuses(t *testing.T) {
	t.Parallel()
	build := func(key, value string) Batch {
		k, _ := hex.DecodeString(key)
		v, _ := hex.DecodeString(value)
		var w Builder
		w.SetProducer(1, 1, -1)
		w.Append(0, k, v)
		b := w.Finish()
		b.setAttributes(transactionalBit | controlBit)
		return b
	}
	data := build("00000001", "000000000000")
	data.setAttributes(transactionalBit)
	for name, b := range map[string]Batch{
		"data":         data,
		"short key":    build("0000", "000000000000"),
		"short value":  build("00000001", "0000"),
		"unknown type": build("00000002", "000000000000"),
	} {
		if m, err := b.Marker(); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %+v, %v, want ErrInvalid", name, m, err)
		}
	}
}
