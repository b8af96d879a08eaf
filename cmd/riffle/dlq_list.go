package main

import (
	"cmp"
	"context"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxFailures bounds the rows of riffle dlq list: causes may hold what differs from record to record. Further ones are
	// summed up by step.
	maxFailures = 200
	// maxCauseWidth is how much of a cause the table shows.
	maxCauseWidth = 100
)

func newDLQList(client *clientFlags) *cobra.Command {
	var format *choice
	cmd := &cobra.Command{
		Use:   "list APP",
		Short: "Sum up the dead letters of an application",
		Long: `Counts the dead letters of an application by the topic they were read from, the step that failed, and the cause. WAITING are
those among them that were not put back yet by riffle dlq replay. LATEST is the latest of the records' times.`,
		Example: `  riffle dlq list fraud
  riffle consume fraud-dead-letters -f '%k %v %h{%k=%v }\n'   # the records themselves`,
		Args:              oneApp,
		ValidArgsFunction: completeApps(client),
		RunE: func(cmd *cobra.Command, args []string) error {
			failures, err := countFailures(cmd.Context(), client, deadLetterTopic(args[0]))
			if err != nil {
				return err
			}
			return writeFailures(cmd.OutOrStdout(), failures, format.value == "json")
		},
	}
	format = addChoice(cmd, "format", "", "form of the output", "text", "json")
	return cmd
}

// failure is what dead letters have in common.
type failure struct {
	Topic string `json:"topic"`
	Node  string `json:"node"`
	Cause string `json:"cause"`
}

// failureCount is how often a failure lies in the dead-letter topic.
type failureCount struct {
	failure
	Records int64     `json:"records"`
	Waiting int64     `json:"waiting"`
	Latest  time.Time `json:"latest"` // of the records' own times
}

// failureCounter counts the failures of a dead-letter topic.
type failureCounter struct {
	replayed kadm.OffsetResponses // the next offsets to be put back
	counts   map[failure]*failureCount
}

func (c *failureCounter) write(_ *kgo.FetchPartition, r *kgo.Record) error {
	l, err := parseLetter(r)
	if err != nil && l.node == "" {
		l.cause = "(not a dead letter)"
	}
	f := failure{l.origin.topic, l.node, l.cause}
	if c.counts[f] == nil && len(c.counts) >= maxFailures {
		f.Cause = "(other causes)"
	}
	n := c.counts[f]
	if n == nil {
		n = &failureCount{failure: f}
		c.counts[f] = n
	}
	n.Records++
	if next, ok := c.replayed.Lookup(r.Topic, r.Partition); !ok || r.Offset >= next.At {
		n.Waiting++
	}
	if r.Timestamp.After(n.Latest) {
		n.Latest = r.Timestamp.UTC()
	}
	return nil
}

func (c *failureCounter) flush() error { return nil }

// countFailures reads the whole topic.
func countFailures(ctx context.Context, flags *clientFlags, topic string) ([]*failureCount, error) {
	spans := make(map[place]*span)
	counter := failureCounter{counts: make(map[failure]*failureCount)}
	err := flags.admin(ctx, func(adm *kadm.Client) error {
		all, err := letterBounds(ctx, adm, topic)
		if err != nil {
			return err
		}
		for at, b := range all {
			if s := (span{from: b.start, to: b.end, fetch: b.start}); !s.empty() {
				spans[at] = &s
			}
		}
		counter.replayed, err = replayedOffsets(ctx, adm, topic)
		return err
	})
	if err != nil {
		return nil, err
	}
	reader := recordReader{flags: flags, out: &counter, limit: forEver}
	if err := reader.readSpans(ctx, spans); err != nil {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(counter.counts), func(a, b *failureCount) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), strings.Compare(a.Node, b.Node), strings.Compare(a.Cause, b.Cause))
	}), nil
}

func writeFailures(w io.Writer, failures []*failureCount, asJSON bool) error {
	var rows [][]string
	for _, f := range failures {
		if asJSON {
			if err := writeJSON(w, f); err != nil {
				return err
			}
			continue
		}
		cause := strings.Join(strings.Fields(f.Cause), " ")
		if len(cause) > maxCauseWidth {
			cause = strings.ToValidUTF8(cause[:maxCauseWidth], "") + "…"
		}
		rows = append(rows, []string{
			f.Topic, f.Node, strconv.FormatInt(f.Records, 10), strconv.FormatInt(f.Waiting, 10),
			f.Latest.Format(time.RFC3339), cause,
		})
	}
	if asJSON {
		return nil
	}
	return writeTable(w, []string{"TOPIC", "NODE", "RECORDS", "WAITING", "LATEST", "CAUSE"}, rows)
}
