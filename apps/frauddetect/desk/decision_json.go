package desk

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"math"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/serde"
)

// decisionSerde is serde.JSON without reflection for what every decision has: each payment has one, and a twentieth of what it cost
// was this.
func decisionSerde() serde.Serde[Decision] {
	s := serde.JSON[Decision]()
	slow := s.Encode
	s.Encode = func(dst []byte, d Decision) ([]byte, error) {
		if b, ok := d.appendJSON(dst); ok {
			return b, nil
		}
		return slow(dst, d)
	}
	return s
}

// appendJSON appends what json.Marshal makes of d, byte for byte. It does not have to be able to: then the result is void.
func (d *Decision) appendJSON(b []byte) (_ []byte, ok bool) {
	w := jsonWriter{b: append(b, '{')}
	w.int("payment", d.Payment)
	w.text("card", d.Card)
	w.text("terminal", d.Terminal)
	w.name("amount")
	w.b = d.Amount.Append(w.b)
	w.time("time", d.Time)
	if d.Action != "" {
		w.text("action", string(d.Action))
	}
	w.float("score", d.Score)
	if len(d.Scores) > 0 {
		w.name("scores")
		w.b = append(w.b, '[')
		for i := range d.Scores {
			d.Scores[i].appendJSON(&w, i > 0)
		}
		w.b = append(w.b, ']')
	}
	if len(d.Results) > 0 {
		w.value("results", d.Results)
	}
	w.name("at")
	d.At.appendJSON(&w)
	w.int("revision", d.Revision)
	if d.Duplicate != nil {
		w.value("duplicate", d.Duplicate)
	}
	if d.Explanation != nil {
		w.value("explanation", d.Explanation)
	}
	return append(w.b, '}'), !w.failed
}

func (s *ModelScore) appendJSON(w *jsonWriter, more bool) {
	if more {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '{')
	w.text("model", s.Model)
	w.int("version", int64(s.Version))
	w.text("mode", string(s.Mode))
	w.float("score", s.Score)
	w.b = append(w.b, '}')
}

func (p *Place) appendJSON(w *jsonWriter) {
	w.b = append(w.b, '{')
	w.text("topic", p.Topic)
	w.int("partition", int64(p.Partition))
	w.int("offset", p.Offset)
	w.b = append(w.b, '}')
}

// jsonWriter appends members to an object.
type jsonWriter struct {
	b      []byte
	failed bool // something is not for it
}

func (w *jsonWriter) name(name string) {
	if w.b[len(w.b)-1] != '{' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, name...)
	w.b = append(w.b, `":`...)
}

func (w *jsonWriter) int(name string, x int64) {
	w.name(name)
	w.b = strconv.AppendInt(w.b, x, 10)
}

// float writes numbers as JSON does, but for those that take an exponent, and those that are none.
func (w *jsonWriter) float(name string, x float64) {
	if abs := math.Abs(x); x != 0 && !(abs >= 1e-6 && abs < 1e21) {
		w.value(name, x)
		return
	}
	w.name(name)
	w.b = strconv.AppendFloat(w.b, x, 'f', -1, 64)
}

func (w *jsonWriter) text(name, s string) {
	w.name(name)
	var err error
	w.b, err = jsontext.AppendQuote(w.b, s)
	w.failed = w.failed || err != nil
}

func (w *jsonWriter) time(name string, t time.Time) {
	w.name(name)
	w.b = append(w.b, '"')
	var err error
	w.b, err = t.AppendText(w.b)
	w.b = append(w.b, '"')
	w.failed = w.failed || err != nil
}

func (w *jsonWriter) value(name string, v any) {
	w.name(name)
	b, err := json.Marshal(v, json.Deterministic(true))
	w.b = append(w.b, b...)
	w.failed = w.failed || err != nil
}
