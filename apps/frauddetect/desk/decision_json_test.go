package desk

import (
	"bytes"
	"encoding/json/v2"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

// What is written of a decision is what encoding/json/v2 writes, and where that fails, this does.
func TestDecisionJSON(t *testing.T) {
	t.Parallel()
	encode := decisionSerde().Encode
	texts := rapid.OneOf(rapid.SampledFrom([]string{"", "approve", "a\"b\\c\n", "카드", "\xff", "<&>\u2028"}), rapid.String())
	floats := rapid.OneOf(rapid.SampledFrom([]float64{0, math.Copysign(0, -1), 1e-6, 9e-7, 1e21, 9e20, math.NaN(), math.Inf(1), 0.1, 1}), rapid.Float64())
	times := rapid.Custom(func(t *rapid.T) time.Time {
		at := time.Unix(rapid.Int64Range(-1e11, 1e12).Draw(t, "second"), rapid.SampledFrom([]int64{0, 1, 5e8, 123456789}).Draw(t, "nano"))
		return at.In(rapid.SampledFrom([]*time.Location{time.UTC, time.FixedZone("", 9*3600), time.FixedZone("", -90)}).Draw(t, "zone"))
	})
	places := rapid.Custom(func(t *rapid.T) Place {
		return Place{texts.Draw(t, "topic"), rapid.Int32().Draw(t, "partition"), rapid.Int64().Draw(t, "offset")}
	})
	rapid.Check(t, func(t *rapid.T) {
		d := Decision{
			Payment: rapid.Int64().Draw(t, "payment"), Card: texts.Draw(t, "card"), Terminal: texts.Draw(t, "terminal"),
			Amount: payment.Cents(rapid.Int64().Draw(t, "amount")), Time: times.Draw(t, "time"),
			Action: rulebook.Action(texts.Draw(t, "action")), Score: floats.Draw(t, "score"),
			At: places.Draw(t, "at"), Revision: rapid.Int64().Draw(t, "revision"),
		}
		for range rapid.IntRange(0, 2).Draw(t, "scores") {
			d.Scores = append(d.Scores, ModelScore{texts.Draw(t, "model"), rapid.Int().Draw(t, "version"), rulebook.Mode(texts.Draw(t, "mode")), floats.Draw(t, "score")})
		}
		if rapid.Bool().Draw(t, "hit") {
			d.Results = []rulebook.Result{{Rule: texts.Draw(t, "rule"), Action: rulebook.Block}}
			d.Explanation = &Explanation{Features: map[string]float64{"b": 1, "a": floats.Draw(t, "feature"), "c": 2}, Records: []Place{d.At}}
		}
		if rapid.Bool().Draw(t, "duplicate") {
			d.Duplicate = &Duplicate{Verdict: duplicates.Double, Source: d.At}
		}
		want, wantErr := json.Marshal(d, json.Deterministic(true))
		got, err := encode([]byte("before "), d)
		if (err != nil) != (wantErr != nil) {
			t.Fatalf("encoding ends with %v, encoding/json with %v", err, wantErr)
		}
		if want = append([]byte("before "), want...); err == nil && !bytes.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func BenchmarkDecisionJSON(b *testing.B) {
	d := Decision{
		Payment: 123456, Card: "4711", Terminal: "815", Amount: 5716, Time: time.Unix(1522540800, 0).UTC(), Action: rulebook.Approve,
		Score: 0.0123456789, Scores: []ModelScore{{"trees", 1, rulebook.Live, 0.0123456789}, {"logistic", 1, rulebook.Shadow, 0.00734}},
		At: Place{"decision-inputs", 1, 123456}, Revision: 12,
	}
	encode := decisionSerde().Encode
	b.ReportAllocs()
	var buffer []byte
	for b.Loop() {
		var err error
		if buffer, err = encode(buffer[:0], d); err != nil {
			b.Fatal(err)
		}
	}
}
