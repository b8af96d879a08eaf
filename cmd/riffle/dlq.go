package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/riffle-stream/riffle/stream"
)

// deadLetterSuffix ends the names of dead-letter topics: an application NAME writes NAME-dead-letters.
const deadLetterSuffix = "-dead-letters"

func newDLQ() *cobra.Command {
	flags := new(clientFlags)
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "See what an application could not process, and put it back",
		Long: `A record that an application cannot decode, process or write goes to its dead-letter topic, NAME-dead-letters, as it came, with
headers that say why and where it was read. list sums up what lies there, replay puts it back.

riffle consume NAME-dead-letters -f '%k %v %h{%k=%v }\n' prints the records themselves.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	flags.register(cmd)
	cmd.AddCommand(newDLQList(flags), newDLQReplay(flags))
	return cmd
}

// deadLetterTopic is the topic that is meant by the name of an application, or of the topic itself.
func deadLetterTopic(name string) string {
	if strings.HasSuffix(name, deadLetterSuffix) {
		return name
	}
	return name + deadLetterSuffix
}

// oneApp wants the name of one application.
func oneApp(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usagef("name one application: %s", cmd.UseLine())
	}
	return nil
}

// completeApps completes the names of applications that have a dead-letter topic.
func completeApps(flags *clientFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := flags.list(cmd.Context(), func(ctx context.Context, adm *kadm.Client) ([]string, error) {
			topics, err := adm.ListTopics(ctx)
			var apps []string
			for _, name := range topics.Names() {
				if app, ok := strings.CutSuffix(name, deadLetterSuffix); ok {
					apps = append(apps, app)
				}
			}
			return apps, err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// letter is a dead letter: a record, and what its headers say of its first life.
type letter struct {
	record *kgo.Record
	origin place
	offset int64
	node   string
	stage  string
	cause  string
	parked string // its place among the letters of its key, if the application parks keys
}

// parseLetter reads the headers that an application gave a record. It fails for a record that did not come from there,
// because nobody can tell where it belongs.
func parseLetter(r *kgo.Record) (letter, error) {
	l := letter{record: r, offset: -1}
	l.origin.partition = -1
	timer := false
	for _, h := range r.Headers {
		value := string(h.Value)
		switch h.Key {
		case stream.HeaderTopic:
			l.origin.topic = value
		case stream.HeaderPartition:
			if n, err := strconv.ParseInt(value, 10, 32); err == nil {
				l.origin.partition = int32(n)
			}
		case stream.HeaderOffset:
			if n, err := strconv.ParseInt(value, 10, 64); err == nil {
				l.offset = n
			}
		case stream.HeaderTimers:
			timer = true
		case stream.HeaderNode:
			l.node = value
		case stream.HeaderCause:
			l.cause = value
		case stream.HeaderStage:
			l.stage = value
		case stream.HeaderParked:
			l.parked = value
		}
	}
	switch {
	case timer:
		return l, fmt.Errorf("%s partition %d offset %d is a timer or punctuation that failed in %q, not a record: it cannot be put back",
			r.Topic, r.Partition, r.Offset, l.node)
	case l.origin.topic == "" || l.origin.partition < 0:
		return letter{}, fmt.Errorf("%s partition %d offset %d is no dead letter: it has no headers %s and %s",
			r.Topic, r.Partition, r.Offset, stream.HeaderTopic, stream.HeaderPartition)
	}
	return l, nil
}

// failed reports whether the record itself has failed, and does not only wait for an earlier one of its key.
func (l letter) failed() bool { return l.stage != stream.Waiting.String() }

// discarded is the record for an application that parks its key and is to forget it.
func (l letter) discarded() *kgo.Record {
	l.parked = "discard:" + l.parked
	return l.revived()
}

// revived is the record as it was before it became a dead letter, for the partition that it was read from. If its key is parked
// it says which of the key's letters it is.
func (l letter) revived() *kgo.Record {
	r := &kgo.Record{
		Topic: l.origin.topic, Partition: l.origin.partition,
		Key: l.record.Key, Value: l.record.Value, Timestamp: l.record.Timestamp,
		Headers: slices.DeleteFunc(slices.Clone(l.record.Headers), func(h kgo.RecordHeader) bool {
			return stream.IsDeadLetterHeader(h.Key)
		}),
	}
	if l.parked != "" {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: stream.HeaderReplayed, Value: []byte(l.parked)})
	}
	return r
}
