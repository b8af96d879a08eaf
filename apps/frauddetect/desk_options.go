package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os/user"
	"runtime"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
)

// deskOptions are the command line of "frauddetect desk".
type deskOptions struct {
	options
	chain
	rulesFile  string
	modelFiles []string
	who        string
	drain      bool
	decisions  string
}

const deskUsage = `usage: frauddetect desk [--input FILE | --generate] [flags]

Runs the fraud desk: finds duplicates, computes features, decides by rules and models that can be changed while it runs, and keeps alerts.
Without a source it decides on what others write to its topics. With labels in the input (TX_FRAUD_SCENARIO), each is told a week
after its payment.

`

func parseDeskOptions(args []string, out io.Writer) (o deskOptions, err error) {
	f := newFlags("frauddetect desk", deskUsage, out)
	var brokers string
	rate := -1.0
	f.StringVar(&o.input, "input", "", "decide on the payments in this CSV `file`")
	f.BoolVar(&o.generate, "generate", false, "decide on made-up payments until Ctrl-C, --for or --rows")
	generatorFlags(f, &o.generator)
	f.Float64Var(&rate, "rate", rate, "payments per second, 0 as many as possible (default 10000 with --generate, else 0)")
	f.DurationVar(&o.duration, "for", 0, "stop reading after this `time`")
	f.Int64Var(&o.rows, "rows", 0, "stop behind this `line` of the input, or payment of the generator")
	f.StringVar(&o.dir, "dir", "", "keep topics and state in this `directory`, and go on with what lies there (default: a temporary one)")
	f.StringVar(&brokers, "brokers", "", "use the brokers at these `addresses` instead of one in this process")
	f.StringVar(&o.cardKeys, "card-keys", "", "a `file` with the keys that make tokens of card numbers")
	f.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many tasks run in parallel")
	f.IntVar(&o.options.partitions, "partitions", 4, "partitions of the topics")
	f.StringVar(&o.rulesFile, "rules", "", "bring the rules and lists of this YAML `file` into force; what it does not name stays (default: at the first start those that come with the program)")
	f.Func("model", "bring the model in this JSON `file` into force, live the first, the others as shadows; may be repeated (default: as for --rules)", func(path string) error {
		o.modelFiles = append(o.modelFiles, path)
		return nil
	})
	f.StringVar(&o.who, "who", "", "who makes the changes of --rules and --model (default: the user)")
	first := f.Bool("first-match", false, "stop at the first live rule that hits; by default all are evaluated, and the highest action wins")
	f.DurationVar(&o.order.lateness, "lateness", 0, "take payments in the order of their times, though they come out of order by so much: each waits for so long")
	f.DurationVar(&o.duplicates.TTL, "duplicates-ttl", 0, "how long the id of a payment is remembered (default 24h0m0s)")
	f.DurationVar(&o.duplicates.Window, "duplicates-window", 0, "how far apart two payments may lie to be suspected doubles (default 5m0s)")
	f.BoolVar(&o.drain, "drain", false, "end when what the topics hold is decided")
	f.StringVar(&o.decisions, "decisions", "", "write all decisions to this `file` at the end, one JSON object a line")
	f.StringVar(&o.report, "report", "", "write the summary to this `file` as JSON")
	f.StringVar(&o.metricsAddr, "metrics-addr", "", "serve Prometheus metrics at this `address`")
	f.BoolVar(&o.verbose, "verbose", false, "log what broker and application do")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if brokers != "" {
		o.brokers = strings.Split(brokers, ",")
	}
	if *first {
		o.matching = rulebook.FirstMatch
	}
	if o.rate = rate; rate < 0 {
		o.rate = 0
		if o.generate {
			o.rate = defaultRate
		}
	}
	o.chain.partitions = o.options.partitions
	if u, err := user.Current(); o.who == "" && err == nil {
		o.who = u.Username
	}
	return o, o.validateDesk(f)
}

func (o deskOptions) validateDesk(f *flag.FlagSet) error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(f.NArg() == 0, "unexpected argument %q: files are given by flags", f.Arg(0))
	check(o.input == "" || !o.generate, "--input and --generate exclude each other")
	check(o.dir == "" || o.brokers == nil, "--dir and --brokers exclude each other: topics lie in a directory or with other brokers")
	check(o.hasSource() || o.dir != "" || o.brokers != nil, "nothing to read: give --input FILE, --generate, or a --dir or --brokers that others write to")
	check(o.workers > 0 && o.options.partitions > 0, "--workers and --partitions want at least 1")
	check(o.rows >= 0 && o.duration >= 0, "--rows and --for must not be negative")
	check(o.order.lateness == 0 || o.order.lateness >= time.Second, "--lateness is %v: want 0, or a second at least", o.order.lateness)
	check(o.who != "", "--who says who makes the changes")
	return errors.Join(append(errs, o.order.validate())...)
}

func (o deskOptions) hasSource() bool { return o.input != "" || o.generate }
