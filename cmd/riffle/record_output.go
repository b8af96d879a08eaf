package main

import (
	"bufio"
	"io"

	"github.com/twmb/franz-go/pkg/kgo"
)

// defaultLayout prints the values, one a line.
const defaultLayout = `%v\n`

// recordOutput prints records. It is for one goroutine.
type recordOutput struct {
	w      *bufio.Writer
	layout *kgo.RecordFormatter // nil: JSON
	buf    []byte               // of one record, used again
}

// newRecordOutput returns an error if there is something wrong with the layout.
func newRecordOutput(w io.Writer, layout string, json bool) (*recordOutput, error) {
	out := &recordOutput{w: bufio.NewWriterSize(w, 64<<10)}
	if json {
		return out, nil
	}
	if layout == "" {
		layout = defaultLayout
	}
	var err error
	out.layout, err = kgo.NewRecordFormatter(layout)
	return out, err
}

// write prints a record that came with the partition p. What it prints may wait for flush.
func (o *recordOutput) write(p *kgo.FetchPartition, r *kgo.Record) error {
	if o.layout == nil {
		return writeJSON(o.w, toJSON(r))
	}
	o.buf = o.layout.AppendPartitionRecord(o.buf[:0], p, r)
	_, err := o.w.Write(o.buf)
	return err
}

func (o *recordOutput) flush() error { return o.w.Flush() }
