package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// newRowsJob makes the job that parts the rows of any file.
func newRowsJob(o rowsOptions) (*job[string], error) {
	topology, err := Topology(o.ttl)
	if err != nil {
		return nil, err
	}
	rows, err := openRows(o)
	if err != nil {
		return nil, err
	}
	return &job[string]{
		options: o.options, app: appName, rows: rows, topic: Rows, topology: topology,
		outputs: []string{Unique.Name, Duplicates.Name}, settings: o.settings(), sumUp: sumUpRows,
	}, nil
}

// rowsSummary says how a file was parted: what lies in the two topics.
type rowsSummary struct {
	totals
	Unique     int64 `json:"unique"`
	Duplicates int64 `json:"duplicates"`
}

func (s rowsSummary) String() string {
	return s.text(func(line func(string, int64)) {
		line("unique", s.Unique)
		line("duplicates", s.Duplicates)
	})
}

func sumUpRows(ctx context.Context, cluster *stream.Cluster, t totals) (fmt.Stringer, error) {
	unique, err1 := countRows(ctx, cluster, Unique.Name)
	duplicates, err2 := countRows(ctx, cluster, Duplicates.Name)
	return rowsSummary{t, unique, duplicates}, errors.Join(err1, err2)
}

// countRows counts the records of a topic.
func countRows(ctx context.Context, cluster *stream.Cluster, topic string) (n int64, err error) {
	for _, err := range cluster.Read(ctx, stream.NewTopic(topic, serde.Bytes, serde.Bytes)) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
