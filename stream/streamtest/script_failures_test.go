package streamtest_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/state"
	"github.com/riffle-stream/riffle/stream"
)

var (
	numbers = stream.NewTopic("left", serde.String, serde.JSON[int]())
	seen    = state.NewKeyValueStore("n", serde.String, serde.Int64)
	alarms  = state.NewTimers("alarms", serde.String)
)

// picky is a topic that takes no 7.
var picky = stream.NewTopic("out", serde.String, serde.Serde[string]{
	Name: "picky",
	Encode: func(dst []byte, v string) ([]byte, error) {
		if v[len(v)-1] == '7' {
			return nil, errors.New("sevens are not written")
		}
		return append(dst, v...), nil
	},
	Decode: serde.String.Decode,
})

// panicsOnly leaves out what panicked.
func panicsOnly(f stream.Failure) stream.Reaction {
	if f.Err.Error() == "panic: a five" {
		return stream.Skip
	}
	return stream.DeadLetter
}

// failures counts numbers, some of which fail: 3 twice, 4 for good, 5 by a panic, 6 in a timer, and 7 as an output.
func failures(e stream.Errors) func(b *stream.Builder) {
	return func(b *stream.Builder) {
		threes := 0
		count := func(c *stream.Context[string, string], r stream.Record[string, int]) error {
			n, _, err := seen.In(c).Get(r.Key)
			if err != nil {
				return err
			}
			if err := seen.In(c).Put(r.Key, n+1); err != nil {
				return err
			}
			if r.Value == 6 {
				if err := alarms.In(c).Set(r.Key, r.Time.Add(time.Millisecond)); err != nil {
					return err
				}
			}
			if err := c.Forward(r.Key, fmt.Sprint(n+1, "/", r.Value)); err != nil {
				return err
			}
			switch r.Value {
			case 3:
				if threes++; threes%3 != 0 {
					return errors.New("a three")
				}
			case 4:
				return stream.Permanent(errors.New("a four"))
			case 5:
				panic("a five")
			}
			return nil
		}
		b.OnError(e)
		b.From(numbers).ProcessWith("count", stream.OnRecord(count).OnTimer(alarms, func(*stream.Context[string, string], state.Timer[string]) error {
			return errors.New("a timer")
		}), seen).To(picky)
	}
}
