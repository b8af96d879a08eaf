package main

import (
	"time"

	"github.com/riffle-stream/riffle/processors"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// appName is the consumer group, and the first part of the names of the application's own topics.
const appName = "dedup"

var (
	// Rows are the rows as they stand in the file. The key is what makes two of them equal.
	Rows = stream.NewTopic("rows", serde.String, serde.String)
	// Unique has each row that repeats no earlier one.
	Unique = stream.NewTopic("unique", serde.String, serde.String)
	// Duplicates has the others.
	Duplicates = stream.NewTopic("duplicates", serde.String, serde.JSON[Duplicate]())
)

// Duplicate is a row that repeats an earlier one.
type Duplicate struct {
	Row   string `json:"row"`
	First Place  `json:"first"`
}

// Place says where the first row of its kind lies, in the topic rows.
type Place struct {
	Topic     string    `json:"topic"`
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"`
	Time      time.Time `json:"time"`
}

type checked = processors.Checked[string]

// Topology parts the rows. A row is a duplicate for as long as ttl after the first of its kind, in event time; 0 is for ever.
func Topology(ttl time.Duration) (*stream.Topology, error) {
	seen := processors.NewDedupStore("seen", serde.String).TTL(ttl)

	b := stream.NewBuilder(appName)
	rows := b.From(Rows).Process("once", processors.MarkDuplicates(keyAlone, seen), seen)

	unique, duplicates := rows.Branch(checked.Unique)
	unique.Map(row).To(Unique)
	duplicates.Map(duplicate).To(Duplicates)
	return b.Build()
}

// keyAlone is the id within a key: the key says everything.
func keyAlone(string) string { return "row" }

func row(c checked) string { return c.Value }

func duplicate(c checked) Duplicate {
	return Duplicate{Row: c.Value, First: Place{c.First.Topic, c.First.Partition, c.First.Offset, c.First.Time}}
}
