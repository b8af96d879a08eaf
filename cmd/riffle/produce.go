package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produce are the flags of riffle produce.
type produce struct {
	client    *clientFlags
	input     recordInput
	partition int32
	codec     *choice
	acks      *choice
}

func newProduce() *cobra.Command {
	f := produce{client: new(clientFlags)}
	cmd := &cobra.Command{
		Use:   "produce TOPIC",
		Short: "Write records from standard input to a topic",
		Long: `Writes each line of standard input to a topic as a record, and exits when all are acknowledged.

-K SEP splits a line at the first SEP into key and value. Records with the same key go to the same partition, as they
would with a Java client; -p sends all to one.

-f LAYOUT reads any other form. %k, %v and %h{%k %v} are key, value and headers, %K %V %H their lengths, %d the time in
milliseconds; %v{json}, %v{hex}, %v{base64} and %v{re[...]} take more than a word; \n \t \x00 are as elsewhere. %t, %p and
%o are read and dropped, so that what consume -f wrote can be read.

--format json reads what consume --format json writes: riffle consume a --format json -e | riffle produce b --format json
copies a topic.

A record that cannot be read or that the broker refuses is reported with its number, and the others are still written.
The exit code is 0 only if all were.`,
		Example: `  echo 'card-7=12.50' | riffle produce payments -K =
  riffle produce payments -z zstd -H source=till-3 < payments.txt
  printf 'card-7 \x00' | riffle produce cards -f '%k %v\x00' --tombstone`,
		Args:              oneTopic,
		ValidArgsFunction: completeTopics(f.client, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args[0])
		},
	}
	f.client.register(cmd)
	flags := cmd.Flags()
	flags.StringVarP(&f.input.separator, "key-separator", "K", "", "what separates key and value in a line")
	flags.StringVarP(&f.input.layout, "layout", "f", "", "how records are laid out in the input")
	f.input.format = addChoice(cmd, "format", "", "form of the input", "text", "json")
	flags.StringArrayVarP(&f.input.headers, "header", "H", nil, "header of all records, name=value (repeatable)")
	flags.BoolVarP(&f.input.tombstones, "tombstone", "Z", false, "write an empty value as none: a tombstone, which deletes the key from a compacted topic")
	flags.Int32VarP(&f.partition, "partition", "p", -1, "write to this partition (-1: by key)")
	f.codec = addChoice(cmd, "compression", "z", "codec of the batches", "none", "gzip", "snappy", "lz4", "zstd")
	f.acks = addChoice(cmd, "acks", "", "whose acknowledgement to wait for", "all", "1", "0")
	mustComplete(cmd, "key-separator", cobra.NoFileCompletions)
	mustComplete(cmd, "layout", cobra.NoFileCompletions)
	mustComplete(cmd, "header", cobra.NoFileCompletions)
	return cmd
}

func (f *produce) run(cmd *cobra.Command, topic string) error {
	ctx, stdin, stderr := cmd.Context(), cmd.InOrStdin(), cmd.ErrOrStderr()
	source, err := f.input.open(stdin)
	if err != nil {
		return err
	}
	w := newRecordWriter(topic, f.partition, stderr)
	if err := f.connect(ctx, w); err != nil {
		return err
	}
	defer w.client.Close()
	defer w.stop()
	go w.watch(f.client.timeout)
	if isTerminal(stdin) && !f.input.isLayout() {
		fmt.Fprintln(stderr, "One record a line; Ctrl-D ends.")
	}
	readErr := w.writeAll(ctx, source)
	flushErr := w.flush()
	fmt.Fprintf(stderr, "%s written to %s\n", count(w.written(), "record"), topic)
	return errors.Join(readErr, flushErr, w.err(f.client))
}

// connect connects w to its topic, which must exist.
func (f *produce) connect(ctx context.Context, w *recordWriter) error {
	maxBytes := int32(0)
	err := f.client.admin(ctx, func(adm *kadm.Client) error {
		found, err := findTopics(ctx, adm, []string{w.topic})
		if err != nil {
			return err
		}
		if n := int32(len(found[0].Partitions)); f.partition < -1 || f.partition >= n {
			return noPartition(found[0], f.partition)
		}
		maxBytes = maxMessageBytes(ctx, adm, w.topic)
		return nil
	})
	if err != nil {
		return err
	}
	return w.connect(ctx, f.client, f.options(maxBytes)...)
}

// options are the client's. A batch must fit the topic, and a record that fits the topic must fit a batch: the size of
// batches is the topic's.
func (f *produce) options(maxBytes int32) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ProducerBatchMaxBytes(maxBytes),
		kgo.MaxBufferedBytes(maxBufferedBytes),
		kgo.ProducerBatchCompression(map[string]kgo.CompressionCodec{
			"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
			"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
		}[f.codec.value]),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Java does it
		kgo.ProduceRequestTimeout(f.client.timeout),
	}
	if f.partition >= 0 {
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	switch f.acks.value {
	case "all":
		// What is given up when the broker has gone may be written or not: the error says so.
		return append(opts, kgo.RequiredAcks(kgo.AllISRAcks()), kgo.AllowIdempotentProduceCancellation())
	case "1":
		return append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	default:
		return append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
}

// maxMessageBytes is the size of the largest batch that the topic takes. If the broker does not say it is Kafka's
// default, as the client library has it.
func maxMessageBytes(ctx context.Context, adm *kadm.Client, topic string) int32 {
	const byDefault, least, most = 1_000_012, 512, 64 << 20 // the client library takes no less
	resources, err := adm.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return byDefault
	}
	for _, r := range resources {
		for _, c := range r.Configs {
			if c.Key != "max.message.bytes" {
				continue
			}
			if n, err := strconv.ParseInt(c.MaybeValue(), 10, 64); err == nil && n > 0 {
				return int32(min(max(n, least), most))
			}
		}
	}
	return byDefault
}

// maxBufferedBytes limits what is read from the input and not yet acknowledged.
const maxBufferedBytes = 256 << 20

// recordSource yields records until io.EOF. After a badRecordError there may be more.
type recordSource interface {
	ReadRecord() (*kgo.Record, error)
}

var _ recordSource = (*kgo.RecordReader)(nil)

// readAhead is how many records may wait between the input and the client.
const readAhead = 256

// readAll reads the source in a goroutine, so that an input that says nothing cannot keep the program from ending; the
// goroutine then ends with the process. The channel is closed after io.EOF or an error that nothing can follow.
func readAll(ctx context.Context, source recordSource) <-chan readResult {
	results := make(chan readResult, readAhead)
	go func() {
		defer close(results)
		for number := 1; ; number++ {
			r, err := source.ReadRecord()
			if err == io.EOF { //nolint:errorlint // io.Reader's contract: end of file is not wrapped
				return
			}
			select {
			case results <- readResult{number, r, err}:
			case <-ctx.Done():
				return
			}
			var bad *badRecordError
			if err != nil && !errors.As(err, &bad) {
				return
			}
		}
	}()
	return results
}

// readResult is one record of the input, by its number from 1, or what is wrong with it.
type readResult struct {
	number int
	record *kgo.Record
	err    error
}
