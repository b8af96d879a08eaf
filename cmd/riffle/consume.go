package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/riffle-stream/riffle/cmd/riffle/offsets"
)

// consume are the flags of riffle consume.
type consume struct {
	client     *clientFlags
	offset     string
	partitions []int32
	limit      int64
	layout     string
	format     *choice
	group      string
	exit       bool
}

// manyTopics is the number of arguments of commands that take any number of topics.
const manyTopics = 1 << 20

func newConsume() *cobra.Command {
	f := consume{client: new(clientFlags)}
	cmd := &cobra.Command{
		Use:   "consume TOPIC...",
		Short: "Read, follow and replay the records of topics",
		Long: `Prints the records of topics, and goes on as they come until Ctrl-C, -n records, -e, or the end of the range.

-o says where to start and stop. It holds for each partition:

  start            the first record that is kept (the default)
  end              only records that are written from now on
  1200  1200:      offset 1200 and what follows
  1200:1300        offsets 1200 to 1299; :1300 from the start; 1200:end as far as it is now
  +10  -10         10 records after the start, the last 10 records; start+10 and end-10 are the same
  100:+50          50 offsets from 100 on
  @2026-01-15      the first record at or after a time: a date, 2026-01-15T10:30:00Z, seconds or milliseconds since
                   1970, now, or -1h30m and -7d, which count from now
  @-2h:-1h         from one time up to another; @2026-01-15:1h an hour from there, @-1h:end as far as it is now

Ranges do not hold their end, and exit there. Times are looked up once, when the command begins. With -e it exits at the
end of the partitions as they were when it began.

-g GROUP reads as a member of a group: partitions are shared among its members, reading goes on where the group has
stopped, and what was printed is committed. -o then says where a group begins that has nothing committed yet.

-f LAYOUT prints %t topic, %p partition, %o offset, %k key, %v value, %K %V their lengths, %d the time in milliseconds,
%d{strftime[%F %T]} as text, %h{%k=%v } headers, %H their number, %i a running number; %v{hex} and %v{base64} encode.
\n \t \x00 are as elsewhere; there is no line end where the layout has none.

--format json prints a record as an object on a line: topic, partition, offset, timestamp (milliseconds since 1970), key,
value, headers. A key or value that is not valid UTF-8 comes in base64, and keyEncoding or valueEncoding then says
"base64". null is none: a record without a key, or a tombstone.`,
		Example: `  riffle consume payments -o 1200:           # replay from offset 1200, then follow
  riffle consume payments -o 1200: -p 2 -e   # replay partition 2 from there to its end
  riffle consume payments -o @-1h:now --format json | jq .
  riffle consume payments -o -5 -e -f '%p:%o %d{strftime[%T]} %k %v\n'
  riffle consume payments -g billing`,
		Args:              someTopics,
		ValidArgsFunction: completeTopics(f.client, manyTopics),
		RunE: func(cmd *cobra.Command, topics []string) error {
			slices.Sort(topics)
			err := f.run(cmd.Context(), slices.Compact(topics), cmd.OutOrStdout(), cmd.ErrOrStderr())
			if cmd.Context().Err() != nil && errors.Is(err, context.Canceled) {
				return nil // Ctrl-C is how following ends
			}
			return err
		},
	}
	f.client.register(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.offset, "offset", "o", "start", "where to start and stop, see above")
	flags.Int32SliceVarP(&f.partitions, "partition", "p", nil, "read only these partitions")
	flags.Int64VarP(&f.limit, "number", "n", 0, "exit after this many records")
	flags.BoolVarP(&f.exit, "exit", "e", false, "exit at the end of the partitions")
	flags.StringVarP(&f.layout, "layout", "f", "", `how records are printed (default "%v\n")`)
	f.format = addChoice(cmd, "format", "", "form of the output", "text", "json")
	flags.StringVarP(&f.group, "group", "g", "", "read as a member of this consumer group")
	mustComplete(cmd, "offset", cobra.FixedCompletions(
		[]cobra.Completion{"start", "end", "-10", "@-1h", "@-1h:now"}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveKeepOrder))
	mustComplete(cmd, "layout", cobra.NoFileCompletions)
	mustComplete(cmd, "partition", cobra.NoFileCompletions)
	mustComplete(cmd, "group", completeGroups(f.client))
	return cmd
}

func (f *consume) run(ctx context.Context, topics []string, stdout, stderr io.Writer) error {
	r, err := offsets.Parse(f.offset, time.Now())
	if err != nil {
		return usagef("-o: %w", err)
	}
	if err := f.check(r); err != nil {
		return err
	}
	out, err := newRecordOutput(stdout, f.layout, f.format.value == "json")
	if err != nil {
		return usagef("-f %q: %w", f.layout, err)
	}
	var spans map[place]*span
	var all map[place]bounds
	err = f.client.admin(ctx, func(adm *kadm.Client) error {
		found, err := findTopics(ctx, adm, topics)
		if err != nil {
			return err
		}
		if all, err = listBounds(ctx, adm, found, r); err != nil {
			return err
		}
		spans, err = f.spans(found, r, all, stderr)
		return err
	})
	if err != nil {
		return err
	}
	reader := recordReader{flags: f.client, out: out, limit: cmp.Or(f.limit, forEver)}
	if f.group == "" {
		return reader.readSpans(ctx, spans)
	}
	g := groupReader{recordReader: &reader, group: f.group, topics: topics}
	g.start, _ = groupStart(r)
	if f.exit {
		g.exitAt(all, spans)
	}
	return g.read(ctx)
}

// check finds what the flags ask for together and cannot have.
func (f *consume) check(r offsets.Range) error {
	_, canGroup := groupStart(r)
	switch {
	case f.limit < 0:
		return usagef("-n is %d: want the number of records to read", f.limit)
	case f.layout != "" && f.format.value == "json":
		return usagef("--format json leaves nothing to -f: drop one of them")
	case f.group != "" && len(f.partitions) > 0:
		return usagef("the members of a group share its partitions: drop -p, or drop -g to read one")
	case f.group != "" && !canGroup:
		return usagef("a group begins at start, end, +N, -N or @TIME, and not at %s: drop -g to read a range", f.offset)
	}
	return nil
}

// place is a partition of a topic.
type place struct {
	topic     string
	partition int32
}

// spans says what is to be read of each partition. Empty spans are left out.
func (f *consume) spans(topics []kadm.TopicDetail, r offsets.Range, all map[place]bounds, stderr io.Writer) (map[place]*span, error) {
	places, err := f.places(topics)
	if err != nil {
		return nil, err
	}
	spans := make(map[place]*span)
	for _, p := range places {
		b := all[p]
		if r.From.Kind == offsets.Exact && r.From.Value < b.start {
			fmt.Fprintf(stderr, "riffle: %s partition %d: offsets before %d are no longer kept\n", p.topic, p.partition, b.start)
		}
		if s := resolve(r, b, f.exit); !s.empty() {
			// Records that are not there yet are waited for at the end, and those before the span left out.
			s.fetch = min(s.from, b.end)
			spans[p] = &s
		}
	}
	return spans, nil
}

// places are the partitions to read, in order.
func (f *consume) places(topics []kadm.TopicDetail) ([]place, error) {
	var (
		places []place
		errs   []error
	)
	for _, t := range topics {
		wanted := f.partitions
		if len(wanted) == 0 {
			wanted = partitionIDs(t)
		}
		for _, p := range wanted {
			if _, ok := t.Partitions[p]; !ok {
				errs = append(errs, noPartition(t, p))
				continue
			}
			places = append(places, place{t.Topic, p})
		}
	}
	return places, errors.Join(errs...)
}

func noPartition(t kadm.TopicDetail, p int32) error {
	return fmt.Errorf("topic %q has no partition %d: it has %s, numbered from 0", t.Topic, p, count(len(t.Partitions), "partition"))
}

// listBounds asks for what resolve needs to know of each partition.
func listBounds(ctx context.Context, adm *kadm.Client, topics []kadm.TopicDetail, r offsets.Range) (map[place]bounds, error) {
	ends, err := listSizes(ctx, adm, topics)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Topic
	}
	after := func(p offsets.Position) (kadm.ListedOffsets, error) {
		if p.Kind != offsets.Time {
			return nil, nil
		}
		listed, err := adm.ListOffsetsAfterMilli(ctx, p.Value, names...)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("look up %s: %w", p, err)
		}
		return listed, nil
	}
	from, err := after(r.From)
	if err != nil {
		return nil, err
	}
	to, err := after(r.To)
	if err != nil {
		return nil, err
	}
	all := make(map[place]bounds)
	for _, t := range topics {
		for p := range t.Partitions {
			start, end := ends.of(t.Topic, p)
			all[place{t.Topic, p}] = bounds{start, end, from[t.Topic][p].Offset, to[t.Topic][p].Offset}
		}
	}
	return all, nil
}
