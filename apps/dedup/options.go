package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// options are what both ways to use the app have in common.
type options struct {
	input      string
	dir        string
	brokers    []string
	workers    int
	partitions int
	report     string
	cardKeys   string // a file
	verbose    bool
}

// rowsOptions part the rows of any file.
type rowsOptions struct {
	options
	key        []string // columns; nil for the whole row
	ttl        time.Duration
	timeColumn string   // NAME, NAME:s or NAME:ms; empty to look for one
	cards      []string // columns with card numbers
}

const usage = `usage: dedup --input FILE --key COLUMNS|row --ttl DURATION [flags]
       dedup payments --input FILE [flags]
       dedup serve --dir DIRECTORY [flags]

Parts the rows of a CSV file in the topics unique and duplicates. With payments, it finds card payments that come twice; with serve,
those that come over HTTP: see dedup payments --help and dedup serve --help.

`

// wholeRow is the --key that takes all columns.
const wholeRow = "row"

// flagSet returns a set with the common flags, which are written to o.
func (o *options) flagSet(name, usage string, out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by the caller
	f.Usage = func() {
		fmt.Fprint(out, usage)
		f.SetOutput(out)
		f.PrintDefaults()
	}
	f.StringVar(&o.dir, "dir", "", "keep topics and state in this `directory`, and go on with what lies there (default: a temporary one)")
	f.Func("brokers", "use the brokers at these `addresses` instead of one in this process; the state lies in ./riffle-data", func(s string) error {
		o.brokers = strings.Split(s, ",")
		return nil
	})
	f.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many tasks run in parallel")
	f.IntVar(&o.partitions, "partitions", 4, "partitions of the topics, and so the number of tasks")
	f.StringVar(&o.cardKeys, "card-keys", "", "a `file` with the keys that make tokens of card numbers (default: the variable "+pan.EnvKeys+", else card-keys in --dir, which is made)")
	f.BoolVar(&o.verbose, "verbose", false, "log what broker and application do")
	return f
}

// inputFlags are those of a set whose command reads a file.
func (o *options) inputFlags(f *flag.FlagSet) {
	f.StringVar(&o.input, "input", "", "the CSV `file`, plain or gzipped, with a header")
	f.StringVar(&o.report, "report", "", "write the summary to this `file` as JSON")
}

// edge makes tokens of card numbers.
func (o *options) edge() *pan.Edge {
	return pan.NewEdge(pan.Config{File: o.cardKeys, Dir: o.dir, Temporary: o.dir == "" && o.brokers == nil})
}

// parse reads the arguments of a set and checks the common ones.
func (o *options) parse(f *flag.FlagSet, args []string) error {
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: files are given by --input", f.Arg(0))
	}
	var errs []error
	if f.Lookup("input") != nil && o.input == "" {
		errs = append(errs, errors.New("nothing to read: give --input FILE (--help shows all flags)"))
	}
	if o.dir != "" && o.brokers != nil {
		errs = append(errs, errors.New("--dir and --brokers exclude each other: topics lie in a directory or with other brokers"))
	}
	if o.workers < 1 || o.partitions < 1 {
		errs = append(errs, fmt.Errorf("--workers is %d and --partitions is %d: want at least 1", o.workers, o.partitions))
	}
	return errors.Join(errs...)
}

func parseRowsOptions(args []string, out io.Writer) (rowsOptions, error) {
	var o rowsOptions
	f := o.flagSet("dedup", usage, out)
	o.inputFlags(f)
	key := f.String("key", wholeRow, "the `columns` that make two rows equal, separated by commas, or row for all of them")
	f.DurationVar(&o.ttl, "ttl", 0, "how long after the first of its kind a row is a duplicate, in event `time`; 0 for ever")
	f.StringVar(&o.timeColumn, "time", "", "the `column` with the event time: a date, or a number as NAME:s or NAME:ms since 1970 (default: the first column with a date, else the time of reading)")
	cards := f.String("cards", "", "the `columns` that hold card numbers, which become tokens, separated by commas")
	err := o.parse(f, args)
	if errors.Is(err, flag.ErrHelp) {
		return o, err
	}
	if *cards != "" {
		o.cards = strings.Split(*cards, ",")
	}
	if *key != wholeRow {
		o.key = strings.Split(*key, ",")
	}
	for _, column := range o.key {
		if column == "" {
			err = errors.Join(err, errors.New("--key has an empty column: want names separated by commas, or row"))
		}
	}
	if o.ttl < 0 {
		err = errors.Join(err, fmt.Errorf("--ttl is %v: want 0 (for ever) or more", o.ttl))
	}
	return o, err
}

// settings is what must stay the same in a directory.
func (o rowsOptions) settings() string {
	key := wholeRow
	if o.key != nil {
		key = strings.Join(o.key, ",")
	}
	settings := fmt.Sprintf("--key %s --ttl %v --time %s", key, o.ttl, o.timeColumn)
	if o.cards != nil {
		settings += " --cards " + strings.Join(o.cards, ",")
	}
	return settings
}
