package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/stream"
)

var (
	// ErrUnfinished means that reading another source was interrupted by a crash, and has to be finished first.
	ErrUnfinished = errors.New("ingest: another import is not finished")
	// ErrSettings means that earlier rows were written with other settings.
	ErrSettings = errors.New("ingest: other settings than before")
	// ErrShrunk means that the source ended before the line up to which it was read earlier.
	ErrShrunk = errors.New("ingest: the source has fewer rows than were read from it before")
)

// Row is one row of a source.
type Row[V any] struct {
	Line  int64 // from 1, growing
	Key   string
	Value V
	Time  time.Time // event time; zero leaves it to the topic
}

// Config says what is read and where it goes.
type Config[V any] struct {
	Cluster *stream.Cluster
	// App is the application's name: its dead letters and the journal are called after it.
	App string
	// Topic takes the rows. It is created with Partitions partitions if it is missing.
	Topic      stream.Topic[string, V]
	Partitions int
	// Source names the source in the journal: equal names stand for equal rows.
	Source string
	// Settings is what must stay the same as long as the topics are used: it is compared with what earlier imports said.
	Settings string
	// Rate is how many rows are written per second; 0 is as many as possible.
	Rate float64
	// StopTimeout bounds the flush after the context of Run has ended. The default is 30 s.
	StopTimeout time.Duration
	// DeadLetterTimeout is how long the first bad row waits for the application to make its dead-letter topic. The
	// default is 30 s.
	DeadLetterTimeout time.Duration
}

// Counts says how far an import has come.
type Counts struct {
	// Line is the last line read.
	Line int64
	// Written are the rows that this run put in the topic, Skipped those that were there already. Bad are the rows that do not
	// parse, and are among the dead letters now.
	Written, Skipped, Bad int64
}

// Import reads one source.
type Import[V any] struct {
	cfg     Config[V]
	journal stream.Topic[string, entry]
	dead    stream.Topic[[]byte, []byte]

	lines   []int64 // by partition: rows up to this line are in the topic
	badLine int64   // the same for the dead letters
	closed  int64   // all lines up to this one were read before, wherever they went
	known   int64   // no line behind this one was read before

	partitioner kgo.TopicPartitioner
	keyed       kgo.Record // reused
	writer      *stream.Writer[string, V]
	deadWriter  *stream.Writer[[]byte, []byte]

	line, written, bad, skipped atomic.Int64
}

// keepForever is for topics whose event times lie in the past: the default retention would take them away.
var keepForever = map[string]string{"retention.ms": "-1"}

// Open creates the topics that are missing, and finds out where to go on. The cluster must stay open until Run has
// returned.
func Open[V any](ctx context.Context, cfg Config[V]) (*Import[V], error) {
	if cfg.StopTimeout <= 0 {
		cfg.StopTimeout = 30 * time.Second
	}
	if cfg.DeadLetterTimeout <= 0 {
		cfg.DeadLetterTimeout = 30 * time.Second
	}
	im := &Import[V]{
		cfg: cfg, journal: journalTopic(cfg.App), dead: deadLetters(cfg.App),
		partitioner: kgo.StickyKeyPartitioner(nil).ForTopic(cfg.Topic.Name),
	}
	if err := cfg.Cluster.CreateTopic(ctx, cfg.Topic.Name, cfg.Partitions, keepForever); err != nil {
		return nil, err
	}
	if err := cfg.Cluster.CreateTopic(ctx, im.journal.Name, 1, keepForever); err != nil {
		return nil, err
	}
	if err := im.resume(ctx); err != nil {
		return nil, err
	}
	im.known = max(im.closed, im.badLine, slices.Max(im.lines))
	return im, nil
}

// resume decides which rows are in the log, and opens the journal.
func (im *Import[V]) resume(ctx context.Context) error {
	j, err := readJournal(ctx, im.cfg.Cluster, im.journal)
	if err != nil {
		return err
	}
	if j.any && j.last.Settings != im.cfg.Settings {
		return fmt.Errorf("%w: %q, and now %q: use them again, or another directory", ErrSettings, j.last.Settings, im.cfg.Settings)
	}
	if im.badLine, err = im.lastDeadLetter(ctx); err != nil {
		return err
	}
	im.lines = make([]int64, im.cfg.Partitions)
	if j.last.Open {
		if j.lastSource != im.cfg.Source {
			return fmt.Errorf("%w: %s: run again with it, or use another directory", ErrUnfinished, j.lastSource)
		}
		im.closed = j.last.Line
		return im.readTails(ctx, j.last)
	}
	im.closed = j.lines[im.cfg.Source]
	for p := range im.lines {
		im.lines[p] = im.closed
	}
	ends, err := im.cfg.Cluster.EndOffsets(ctx, im.cfg.Topic.Name)
	if err != nil {
		return err
	}
	return im.writeJournal(ctx, entry{Open: true, Line: im.closed, Ends: ends})
}

// readTails finds the last row of the source in each partition.
func (im *Import[V]) readTails(ctx context.Context, e entry) error {
	if len(e.Ends) != im.cfg.Partitions {
		return fmt.Errorf("ingest: the journal tells of %d partitions of topic %s, which has %d", len(e.Ends), im.cfg.Topic.Name, im.cfg.Partitions)
	}
	for p := range im.lines {
		im.lines[p] = e.Line
	}
	for r, err := range im.cfg.Cluster.ReadLast(ctx, im.cfg.Topic, 1) {
		if err != nil && r.Topic == "" {
			return fmt.Errorf("ingest: read the end of topic %s: %w", im.cfg.Topic.Name, err)
		}
		if r.Offset < e.Ends[r.Partition] {
			continue // it was there before
		}
		line, err := strconv.ParseInt(string(header(r.Headers, HeaderLine)), 10, 64)
		if err != nil {
			return fmt.Errorf("ingest: topic %s partition %d offset %d has no line: something else writes to the topic, so the import cannot go on; use another directory",
				r.Topic, r.Partition, r.Offset)
		}
		im.lines[r.Partition] = line
	}
	return nil
}

// Resumed returns the last line that was read before, or 0.
func (im *Import[V]) Resumed() int64 { return im.known }

// Counts says how far Run has come. It may be called at any time.
func (im *Import[V]) Counts() Counts {
	return Counts{Line: im.line.Load(), Written: im.written.Load(), Bad: im.bad.Load(), Skipped: im.skipped.Load()}
}

// Run writes the rows that next returns until it returns io.EOF or stop ends: then everything is flushed, the journal
// closed, and the result is nil. next may return a *BadRow, and be called again after it; any other error ends the import after
// what came before is safe. next must begin with the source's first row, whatever was read before.
//
// After an error of the cluster the journal stays open, and the next Open finds out what was written.
func (im *Import[V]) Run(stop context.Context, next func() (Row[V], error)) (err error) {
	// The end of stop must not take back rows that are on their way, so writes have a context of their own.
	ctx, cancel := context.WithCancel(context.WithoutCancel(stop))
	defer cancel()
	defer context.AfterFunc(stop, func() { time.AfterFunc(im.cfg.StopTimeout, cancel) })()

	if im.writer, err = stream.NewWriter(ctx, im.cfg.Cluster, im.cfg.Topic, stream.WriterConfig{}); err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, im.writer.Close())
		if im.deadWriter != nil {
			err = errors.Join(err, im.deadWriter.Close())
		}
	}()
	sourceErr, err := im.copy(ctx, stop, next)
	if err != nil {
		return err
	}
	if im.line.Load() < im.known {
		return sourceErr // still among the rows of an interrupted run: the journal is as open as before
	}
	if err := im.writer.Flush(ctx); err != nil {
		return err
	}
	if im.deadWriter != nil {
		if err := im.deadWriter.Flush(ctx); err != nil {
			return err
		}
	}
	if err := im.writeJournal(ctx, entry{Line: im.line.Load()}); err != nil {
		return err
	}
	return sourceErr
}

// Flush waits until every row that next returned before is in the topic. It is for next itself, which may want to write elsewhere what
// follows from those rows.
func (im *Import[V]) Flush(ctx context.Context) error { return im.writer.Flush(ctx) }

// copy hands rows to the writers until the source or stop ends. sourceErr is a fault of the source; with err the
// fate of some rows is unknown.
func (im *Import[V]) copy(ctx, stop context.Context, next func() (Row[V], error)) (sourceErr, err error) {
	pace := newPacer(im.cfg.Rate)
	for stop.Err() == nil {
		row, err := next()
		var bad *BadRow
		switch {
		case errors.Is(err, io.EOF):
			if line := im.line.Load(); line < im.known {
				return fmt.Errorf("%w: %s ends with line %d, and was read up to line %d", ErrShrunk, im.cfg.Source, line, im.known), nil
			}
			return nil, nil
		case errors.As(err, &bad):
			if err := im.badRow(ctx, bad); err != nil {
				return nil, err
			}
			continue
		case err != nil:
			return err, nil
		}
		if row.Line > im.known {
			pace.wait(stop)
		}
		if err := im.row(ctx, row); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (im *Import[V]) badRow(ctx context.Context, row *BadRow) error {
	if row.Line > im.closed {
		if err := im.writeDeadLetter(ctx, row); err != nil {
			return err
		}
	}
	im.bad.Add(1)
	im.line.Store(row.Line)
	return nil
}

func (im *Import[V]) row(ctx context.Context, row Row[V]) error {
	if row.Line <= im.lines[im.partition(row.Key)] {
		im.skipped.Add(1)
		im.line.Store(row.Line)
		return nil
	}
	var line [20]byte
	err := im.writer.Write(ctx, stream.Record[string, V]{
		Key: row.Key, Value: row.Value, Time: row.Time,
		Headers: []stream.Header{{Key: HeaderLine, Value: strconv.AppendInt(line[:0], row.Line, 10)}},
	})
	if err != nil {
		return fmt.Errorf("ingest: line %d: %w", row.Line, err)
	}
	im.written.Add(1)
	im.line.Store(row.Line)
	return nil
}

// partition returns where the writer will put a key: it partitions as Java's producer does.
func (im *Import[V]) partition(key string) int {
	im.keyed.Key = append(im.keyed.Key[:0], key...)
	return im.partitioner.Partition(&im.keyed, im.cfg.Partitions)
}

// pacer spreads rows evenly over time.
type pacer struct {
	rate  float64
	start time.Time
	rows  int64
}

func newPacer(rate float64) *pacer { return &pacer{rate: rate} }

// wait returns when the next row is due, or ctx has ended. Rows that fall behind are not made up for by more than a
// tenth of a second.
func (p *pacer) wait(ctx context.Context) {
	if p.rate <= 0 {
		return
	}
	now := time.Now()
	due := p.start.Add(time.Duration(float64(p.rows) / p.rate * float64(time.Second)))
	if p.start.IsZero() || now.Sub(due) > 100*time.Millisecond {
		p.start, p.rows, due = now, 0, now
	}
	p.rows++
	if early := due.Sub(now); early > time.Millisecond {
		select {
		case <-time.After(early):
		case <-ctx.Done():
		}
	}
}
