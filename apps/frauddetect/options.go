package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/apps/frauddetect/rules"
	"github.com/riffle-stream/riffle/apps/internal/pan"
)

// options are the command line.
type options struct {
	input    string
	generate bool

	generator generator.Config
	rate      float64
	duration  time.Duration
	rows      int64

	dir        string
	brokers    []string
	workers    int
	partitions int
	rules      rules.Rules

	alerts      string
	report      string
	metricsAddr string
	cardKeys    string // a file
	verbose     bool
}

// generatorFlags say what is made up.
func generatorFlags(f *flag.FlagSet, cfg *generator.Config) {
	f.Uint64Var(&cfg.Seed, "seed", 0, "generator: equal seeds make equal payments")
	f.IntVar(&cfg.Customers, "customers", 0, "generator: number of cards (default 5000)")
	f.IntVar(&cfg.Terminals, "terminals", 0, "generator: number of terminals (default 10000)")
	f.StringVar((*string)(&cfg.Profile), "profile", string(generator.Europe), "generator: `europe`, or korea for amounts in won and Korean merchants")
	f.IntVar(&cfg.Cases, "cases", 0, "generator: plant so many cases a day for each of the starter rules")
}

const usage = `usage: frauddetect --input FILE [flags]
       frauddetect --generate [flags]

Reads card payments, and reports those that break a rule.

`

// defaultRate is fast enough to see something, and slow enough to leave a small machine usable.
const defaultRate = 10_000

func parseOptions(args []string, out io.Writer) (options, error) {
	o := options{rules: rules.Rules{}.WithDefaults()}
	var brokers string
	rate := -1.0
	f := flag.NewFlagSet("frauddetect", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by the caller
	f.Usage = func() {
		fmt.Fprint(out, usage)
		f.SetOutput(out)
		f.PrintDefaults()
	}

	f.StringVar(&o.input, "input", "", "process this CSV `file`, plain or gzipped, with the columns "+strings.Join(payment.Columns(), ", "))
	f.BoolVar(&o.generate, "generate", false, "process made-up payments until Ctrl-C, --for or --rows")

	generatorFlags(f, &o.generator)
	f.Float64Var(&rate, "rate", rate, "payments per second, 0 as many as possible (default 10000 with --generate, else 0)")
	f.DurationVar(&o.duration, "for", 0, "stop reading after this `time` (default: no limit)")
	f.Int64Var(&o.rows, "rows", 0, "stop behind this `line` of the input, or payment of the generator (default: no limit)")

	f.StringVar(&o.dir, "dir", "", "keep topics and state in this `directory`, and go on with what lies there (default: a temporary one)")
	f.StringVar(&brokers, "brokers", "", "use the brokers at these `addresses` instead of one in this process; the state lies in ./riffle-data")
	f.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many tasks run in parallel")
	f.IntVar(&o.partitions, "partitions", 4, "partitions of the topics, and so the number of tasks")
	limit := f.String("limit", o.rules.Limit.String(), "rule "+rules.AboveLimit+": an amount above this is suspicious")
	f.Float64Var(&o.rules.MeanFactor, "mean-factor", o.rules.MeanFactor, "rule "+rules.AboveMean+": so many times the card's 30-day mean")
	f.IntVar(&o.rules.MeanPayments, "mean-payments", o.rules.MeanPayments, "rule "+rules.AboveMean+": earlier payments that make a mean")
	f.IntVar(&o.rules.BurstPayments, "burst-payments", o.rules.BurstPayments, "rule "+rules.Burst+": so many payments within ten minutes")

	f.StringVar(&o.alerts, "alerts", "", "write all alerts to this `file` at the end, one JSON object a line, by partition and offset")
	f.StringVar(&o.report, "report", "", "write the summary to this `file` as JSON")
	f.StringVar(&o.metricsAddr, "metrics-addr", "", "serve Prometheus metrics at this `address`, such as localhost:9090")
	f.StringVar(&o.cardKeys, "card-keys", "", "a `file` with the keys that make tokens of card numbers (default: the variable "+pan.EnvKeys+", else card-keys in --dir, which is made)")
	f.BoolVar(&o.verbose, "verbose", false, "log what broker and application do")

	if err := f.Parse(args); err != nil {
		return options{}, err
	}
	if f.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q: files are given by --input", f.Arg(0))
	}
	if brokers != "" {
		o.brokers = strings.Split(brokers, ",")
	}
	var err error
	if o.rules.Limit, err = payment.ParseCents([]byte(*limit)); err != nil {
		return options{}, fmt.Errorf("--limit: %w", err)
	}
	if o.rate = rate; rate < 0 {
		o.rate = 0
		if o.generate {
			o.rate = defaultRate
		}
	}
	return o, o.validate()
}

// edge makes tokens of card numbers.
func (o options) edge() *pan.Edge {
	return pan.NewEdge(pan.Config{File: o.cardKeys, Dir: o.dir, Temporary: o.dir == "" && o.brokers == nil})
}

func (o options) validate() error {
	var errs []error
	switch {
	case o.input == "" && !o.generate:
		errs = append(errs, errors.New("nothing to read: give --input FILE or --generate (--help shows all flags)"))
	case o.input != "" && o.generate:
		errs = append(errs, errors.New("--input and --generate exclude each other"))
	}
	if o.dir != "" && o.brokers != nil {
		errs = append(errs, errors.New("--dir and --brokers exclude each other: topics lie in a directory or with other brokers"))
	}
	for name, n := range map[string]int{"workers": o.workers, "partitions": o.partitions} {
		if n < 1 {
			errs = append(errs, fmt.Errorf("--%s is %d: want at least 1", name, n))
		}
	}
	if o.rows < 0 || o.duration < 0 {
		errs = append(errs, errors.New("--rows and --for must not be negative"))
	}
	return errors.Join(append(errs, o.rules.Validate())...)
}
