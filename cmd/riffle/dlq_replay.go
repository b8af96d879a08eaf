package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/cmd/riffle/offsets"
)

const (
	// replayBatch is how many dead letters one transaction puts back.
	replayBatch = 1000
	// progressInterval is how often a long replay says how far it is.
	progressInterval = 2 * time.Second
)

// dlqReplay is one run of riffle dlq replay.
type dlqReplay struct {
	client  *clientFlags
	topic   string
	stderr  io.Writer
	discard bool // what failed is given up

	ends map[place]int64 // where the dead-letter topic ended when the command began
	put  map[string]int  // records put back, by topic
}

func newDLQReplay(client *clientFlags) *cobra.Command {
	dryRun, discard := false, false
	cmd := &cobra.Command{
		Use:   "replay APP",
		Short: "Put dead letters back where they were read",
		Long: `Writes the dead letters of an application to the topics and partitions that they were read from, with the key, value, time and
headers that they had. Mend the cause first: a record that fails again becomes a dead letter again.

A replay goes on where the last one ended, and ends where the topic ended when it began. What was put back and how far it came is
one transaction: however it is interrupted, no letter is left out, and none is put back twice. Letters with a
key come in their order. They come behind what the application has read meanwhile, records of the same key included, unless it
parks keys (stream.Errors.ParkKeys): then the later records of a key are dead letters too, and come behind it. Those that arrived
during a replay are for the next one.

--discard gives up what has failed: it leaves it out, and puts back what waited for it. An application that
parks keys is told, and goes on with the key.`,
		Example: `  riffle dlq list fraud
  riffle dlq replay fraud --dry-run
  riffle dlq replay fraud
  riffle dlq replay fraud --discard   # give up what failed, and go on with what waits for it`,
		Args:              oneApp,
		ValidArgsFunction: completeApps(client),
		RunE: func(cmd *cobra.Command, args []string) error {
			f := dlqReplay{client: client, topic: deadLetterTopic(args[0]), stderr: cmd.ErrOrStderr(), discard: discard, put: make(map[string]int)}
			if dryRun {
				return f.dryRun(cmd.Context(), cmd.OutOrStdout())
			}
			err := f.run(cmd.Context())
			f.sumUp(cmd.OutOrStdout())
			return err
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be put back")
	cmd.Flags().BoolVar(&discard, "discard", false, "give up what failed, and put back what waits for it")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "discard")
	return cmd
}

// givenUp counts, among the topics, what was discarded. No topic has that name.
const givenUp = ""

// replayGroup is the consumer group that remembers how far a dead-letter topic was replayed.
func replayGroup(topic string) string { return topic + "-replay" }

// letterBounds finds the ends of the partitions of a dead-letter topic.
func letterBounds(ctx context.Context, adm *kadm.Client, topic string) (map[place]bounds, error) {
	found, err := adm.ListTopics(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", topic, err)
	}
	if errors.Is(found[topic].Err, kerr.UnknownTopicOrPartition) {
		return nil, fmt.Errorf("there is no topic %q: no application %q has run here, or it had no dead letter yet",
			topic, strings.TrimSuffix(topic, deadLetterSuffix))
	}
	topics, err := findTopics(ctx, adm, []string{topic})
	if err != nil {
		return nil, err
	}
	return listBounds(ctx, adm, topics, offsets.Range{})
}

// replayedOffsets are the next offsets to be put back, where any were.
func replayedOffsets(ctx context.Context, adm *kadm.Client, topic string) (kadm.OffsetResponses, error) {
	committed, err := adm.FetchOffsetsForTopics(ctx, replayGroup(topic), topic)
	if err == nil {
		err = committed.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("offsets of group %q: %w", replayGroup(topic), err)
	}
	maps.DeleteFunc(committed[topic], func(_ int32, o kadm.OffsetResponse) bool { return o.At < 0 })
	return committed, nil
}

func (f *dlqReplay) dryRun(ctx context.Context, stdout io.Writer) error {
	failures, err := countFailures(ctx, f.client, f.topic)
	if err != nil {
		return err
	}
	for _, c := range failures {
		if c.Waiting > 0 {
			f.put[c.Topic] += int(c.Waiting)
		}
	}
	fmt.Fprintf(stdout, "would put back: %s\n", f.counts())
	return nil
}

func (f *dlqReplay) sumUp(stdout io.Writer) { fmt.Fprintf(stdout, "put back: %s\n", f.counts()) }

func (f *dlqReplay) counts() string {
	if len(f.put) == 0 {
		return "nothing"
	}
	var parts []string
	for _, topic := range slices.Sorted(maps.Keys(f.put)) {
		if topic == givenUp {
			parts = append(parts, count(f.put[topic], "record")+" given up")
			continue
		}
		parts = append(parts, fmt.Sprintf("%s to %s", count(f.put[topic], "record"), topic))
	}
	return strings.Join(parts, ", ")
}

func (f *dlqReplay) run(ctx context.Context) error {
	all := make(map[place]bounds)
	err := f.client.admin(ctx, func(adm *kadm.Client) (err error) {
		all, err = letterBounds(ctx, adm, f.topic)
		return err
	})
	if err != nil {
		return err
	}
	f.ends = make(map[place]int64)
	for at, b := range all {
		if b.start < b.end {
			f.ends[at] = b.end
		}
	}
	session, err := f.session()
	if err != nil {
		return err
	}
	defer session.Close()
	told := time.Now()
	for {
		left, err := f.left(ctx, session.Client())
		if err != nil || left == 0 {
			return err
		}
		if time.Since(told) >= progressInterval {
			fmt.Fprintf(f.stderr, "riffle: %s: %s, %d to go\n", f.topic, f.counts(), left)
			told = time.Now()
		}
		if err := f.transact(ctx, session); err != nil {
			return err
		}
	}
}

// session reads the dead letters as a group and writes in transactions. Another replay that runs at the same time takes
// its share of the partitions.
func (f *dlqReplay) session() (*kgo.GroupTransactSession, error) {
	common, err := f.client.options()
	if err != nil {
		return nil, err
	}
	return kgo.NewGroupTransactSession(append(common,
		kgo.ConsumerGroup(replayGroup(f.topic)),
		kgo.ConsumeTopics(f.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.SessionTimeout(groupSession),
		kgo.TransactionalID(fmt.Sprintf("%s-%d", replayGroup(f.topic), time.Now().UnixNano())),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	)...)
}

// left is how many offsets of the dead-letter topic are not replayed yet.
func (f *dlqReplay) left(ctx context.Context, client *kgo.Client) (n int64, err error) {
	committed, err := replayedOffsets(ctx, kadm.NewClient(client), f.topic)
	for at, end := range f.ends {
		if o, ok := committed.Lookup(at.topic, at.partition); ok && o.At >= end {
			delete(f.ends, at)
		} else {
			n += end - max(o.At, 0)
		}
	}
	return n, err
}

// transact puts back what one poll brings.
func (f *dlqReplay) transact(ctx context.Context, session *kgo.GroupTransactSession) error {
	timed, cancel := context.WithTimeout(ctx, pollInterval)
	defer cancel()
	fetches := session.PollRecords(timed, replayBatch)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, e := range fetches.Errors() {
		if !errors.Is(e.Err, context.DeadlineExceeded) && !kerr.IsRetriable(e.Err) && !isNetwork(e.Err) {
			return fmt.Errorf("%s partition %d: %w", e.Topic, e.Partition, e.Err)
		}
	}
	if fetches.NumRecords() == 0 {
		return nil
	}
	if err := session.Begin(); err != nil {
		return err
	}
	put, err := f.putBack(ctx, session, fetches.Records())
	committed, endErr := session.End(context.WithoutCancel(ctx), kgo.TransactionEndTry(err == nil))
	if err = cmp.Or(err, endErr); err != nil {
		return err
	}
	if committed {
		for topic, n := range put {
			f.put[topic] += n
		}
	}
	return nil
}

// putBack writes letters to where they were read, and returns how many by topic.
func (f *dlqReplay) putBack(ctx context.Context, session *kgo.GroupTransactSession, records []*kgo.Record) (map[string]int, error) {
	put := make(map[string]int)
	var revived []*kgo.Record
	for _, r := range records {
		if r.Attrs.IsControl() {
			continue
		}
		l, err := parseLetter(r)
		if err != nil {
			fmt.Fprintf(f.stderr, "riffle: %v: it stays where it is\n", err)
			continue
		}
		switch {
		case !f.discard || !l.failed():
			put[l.origin.topic]++
			revived = append(revived, l.revived())
		case l.parked != "":
			put[givenUp]++
			revived = append(revived, l.discarded())
		default:
			put[givenUp]++
		}
	}
	for _, result := range session.ProduceSync(ctx, revived...) {
		if err := result.Err; err != nil {
			at := place{result.Record.Topic, result.Record.Partition}
			return nil, fmt.Errorf("put back to %s partition %d: %w: nothing of this batch was put back", at.topic, at.partition, err)
		}
	}
	return put, nil
}
