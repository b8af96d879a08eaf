package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/pan"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

// Headers of a row that did not parse, beside stream.HeaderCause. The value is the row as it stands in the source.
const (
	HeaderSource = "riffle.source"
	HeaderLine   = "riffle.line" // decimal; rows that did parse have it too
)

// deadLetters is where an application's dead letters go. It keeps bytes.
func deadLetters(app string) stream.Topic[[]byte, []byte] {
	return stream.NewTopic(app+"-dead-letters", serde.Bytes, serde.Bytes)
}

// BadRow is a row that does not parse.
type BadRow struct {
	Line int64
	Raw  []byte // as it stands in the source; valid until the next row is read
	Err  error
}

func (e *BadRow) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }
func (e *BadRow) Unwrap() error { return e.Err }

// lastDeadLetter returns the line of the last row of the source among the dead letters, or 0. Dead letters lie in one
// partition, so those of earlier lines are there too.
func (im *Import[V]) lastDeadLetter(ctx context.Context) (line int64, err error) {
	for r, err := range im.cfg.Cluster.Read(ctx, im.dead) {
		if errors.Is(err, stream.ErrUnknownTopic) {
			return 0, nil
		}
		if err != nil && r.Topic == "" {
			return 0, fmt.Errorf("ingest: read the dead letters: %w", err)
		}
		if string(header(r.Headers, HeaderSource)) != im.cfg.Source {
			continue
		}
		if at, err := strconv.ParseInt(string(header(r.Headers, HeaderLine)), 10, 64); err == nil {
			line = max(line, at)
		}
	}
	return line, nil
}

func header(headers []stream.Header, key string) []byte {
	for _, h := range headers {
		if h.Key == key {
			return h.Value
		}
	}
	return nil
}

// writeDeadLetter sends a row that did not parse, unless it is there already.
func (im *Import[V]) writeDeadLetter(ctx context.Context, row *BadRow) error {
	if row.Line <= im.badLine {
		return nil
	}
	if im.deadWriter == nil {
		w, err := im.openDeadLetters(ctx)
		if err != nil {
			return err
		}
		im.deadWriter = w
	}
	return im.deadWriter.Write(ctx, stream.Record[[]byte, []byte]{
		Key: []byte(im.cfg.Source), Value: pan.Redact(row.Raw), Time: time.Now(),
		Headers: []stream.Header{
			{Key: stream.HeaderCause, Value: pan.Redact([]byte(row.Err.Error()))},
			{Key: HeaderSource, Value: []byte(im.cfg.Source)},
			{Key: HeaderLine, Value: strconv.AppendInt(nil, row.Line, 10)},
		},
	})
}

// openDeadLetters waits for the application, which starts at the same time, to make the topic: it knows how large
// the letters may be.
func (im *Import[V]) openDeadLetters(ctx context.Context) (*stream.Writer[[]byte, []byte], error) {
	ctx, cancel := context.WithTimeout(ctx, im.cfg.DeadLetterTimeout)
	defer cancel()
	for {
		w, err := stream.NewWriter(ctx, im.cfg.Cluster, im.dead, stream.WriterConfig{})
		if err == nil || !errors.Is(err, stream.ErrUnknownTopic) {
			return w, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("ingest: a row does not parse, and the application has not made its dead-letter topic: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
