package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/apps/frauddetect/rules"
	"github.com/riffle-stream/riffle/stream"
)

// The list has every alert of the topic, by partition and in its order, and nothing is left out: an alert that came twice would show.
func TestReadAlerts(t *testing.T) {
	t.Parallel()
	cluster := stream.Embedded(t.TempDir())
	if err := cluster.CreateTopic(t.Context(), Alerts.Name, 1, keepForever); err != nil {
		t.Fatal(err)
	}
	alert := func(rule string, partition int32, offset int64) rules.Alert {
		return rules.Alert{
			Rule: rule, Card: "c", Time: time.Date(2018, 4, 1, 0, 0, 0, 0, time.UTC),
			Records: rules.Records{Topic: "transactions", Partition: partition, Offsets: []int64{offset}},
		}
	}
	a, b, c := alert(rules.AboveLimit, 0, 5), alert(rules.Burst, 0, 5), alert(rules.AboveMean, 0, 9)
	d, e := alert(rules.AboveLimit, 1, 2), alert(rules.AboveLimit, 0, 12)
	w, err := stream.NewWriter(t.Context(), cluster, Alerts, stream.WriterConfig{})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []rules.Alert{a, b, d, c, b, c, e} {
		if err := w.Write(t.Context(), stream.Record[string, rules.Alert]{Key: a.Card, Value: a}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}

	var got bytes.Buffer
	f, err := readAlerts(t.Context(), cluster, &got)
	if err != nil {
		t.Fatal(err)
	}
	want := found{ByRule: map[string]int64{rules.AboveLimit: 3, rules.AboveMean: 2, rules.Burst: 2}}
	if diff := cmp.Diff(want, f); diff != "" {
		t.Errorf("found (-want +got)\n%s", diff)
	}
	var list []string
	for _, a := range []rules.Alert{a, b, d, c, b, c, e} {
		b, err := Alerts.Value.Encode(nil, a)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(b)+"\n")
	}
	if diff := cmp.Diff(strings.Join(list, ""), got.String()); diff != "" {
		t.Errorf("list (-want +got)\n%s", diff)
	}
}
