package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// groupSession is after how long the group gives the partitions of a member that was killed to others.
	groupSession = 10 * time.Second
	// groupCommitInterval bounds how much is printed twice after a kill.
	groupCommitInterval = time.Second
)

// groupReader reads as a member of a consumer group. A record is committed after it was printed: none is lost, and after
// a crash some may come again.
type groupReader struct {
	*recordReader
	group  string
	topics []string
	start  kgo.Offset

	// ends are the ends of the partitions that must be read until the reader may exit; nil: it does not exit.
	ends map[place]int64
	// skipped are those among them that hold nothing to read for a group that has not committed anything there.
	skipped map[place]bool
}

// exitAt has the reader exit when the group has read what the partitions hold within bounds. Spans are what a group
// without commits reads of them.
func (g *groupReader) exitAt(all map[place]bounds, spans map[place]*span) {
	g.ends, g.skipped = make(map[place]int64), make(map[place]bool)
	for p, b := range all {
		if b.start < b.end {
			g.ends[p] = b.end
			g.skipped[p] = spans[p] == nil
		}
	}
}

func (g *groupReader) read(ctx context.Context) (err error) {
	done, err := g.atEnd(ctx)
	if done || err != nil {
		return err
	}
	err = g.connect(ctx,
		kgo.ConsumerGroup(g.group),
		kgo.ConsumeTopics(g.topics...),
		kgo.ConsumeResetOffset(g.start),
		kgo.SessionTimeout(groupSession),
		kgo.KeepControlRecords(),
		kgo.AutoCommitMarks(),
		kgo.AutoCommitInterval(groupCommitInterval),
	)
	if err != nil {
		return err
	}
	defer func() {
		var gone *unreachableError
		if !errors.As(err, &gone) { // else there is nobody to take leave of
			err = errors.Join(err, g.leave(ctx))
		}
	}()
	checked := time.Now()
	for g.limit > 0 && !done {
		fetches, err := g.poll(ctx)
		if ctx.Err() != nil {
			return nil // Ctrl-C
		}
		if err != nil {
			return err
		}
		if err := g.print(fetches); err != nil {
			return err
		}
		if done = g.ends != nil && len(g.ends) == 0; !done && time.Since(checked) >= groupCommitInterval {
			// Other members read partitions, too.
			if done, err = g.atEnd(ctx); err != nil {
				return err
			}
			checked = time.Now()
		}
	}
	return nil
}

// print prints records and then marks them to be committed.
func (g *groupReader) print(fetches kgo.Fetches) error {
	var (
		printed []*kgo.Record
		err     error
	)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		for _, r := range p.Records {
			if g.limit == 0 || err != nil {
				return
			}
			if !r.Attrs.IsControl() { // the end of a transaction takes an offset, and is nothing to print
				if err = g.out.write(&p.FetchPartition, r); err != nil {
					return
				}
				g.limit--
			}
			printed = append(printed, r)
			if at := (place{r.Topic, r.Partition}); g.ends[at] <= r.Offset+1 {
				delete(g.ends, at)
			}
		}
	})
	if err := errors.Join(err, g.out.flush()); err != nil {
		return err
	}
	g.client.MarkCommitRecords(printed...)
	return nil
}

// atEnd drops from ends what the group has committed, and reports whether that was all.
func (g *groupReader) atEnd(ctx context.Context) (bool, error) {
	if len(g.ends) == 0 {
		return g.ends != nil, nil
	}
	err := g.flags.admin(ctx, func(adm *kadm.Client) error {
		committed, err := adm.FetchOffsetsForTopics(ctx, g.group, g.topics...)
		if err == nil {
			err = committed.Error()
		}
		if err != nil {
			return fmt.Errorf("offsets of group %q: %w", g.group, err)
		}
		for at, end := range g.ends {
			o, ok := committed.Lookup(at.topic, at.partition)
			if ok = ok && o.At >= 0; ok && o.At >= end || !ok && g.skipped[at] {
				delete(g.ends, at)
			}
		}
		return nil
	})
	return len(g.ends) == 0, err
}

// leave commits what was printed and leaves the group. It has its own time: ctx may have ended.
func (g *groupReader) leave(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), g.flags.timeout)
	defer cancel()
	if err := g.client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("group %q: what was printed last may not be committed, and come again: %w", g.group, err)
	}
	if err := g.client.LeaveGroupContext(ctx); err != nil {
		// Close would wait for the group without a limit. The process ends, and with it the connections.
		return fmt.Errorf("leave group %q: %w", g.group, err)
	}
	g.client.Close()
	return nil
}
