package main

import (
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

const backtestUsage = `usage: frauddetect backtest --rules FILE --dir DIRECTORY [flags]
       frauddetect backtest --rules FILE --brokers ADDRESSES [flags]

Decides what the fraud desk has decided anew, by other rules, and prints which hits each of them keeps, wins and loses; and, where labels exist,
how many of its hits are right (precision) and how many of the frauds it hits (recall). It writes to no topic, and may run
beside the desk with --brokers.

`

// backtestOptions are the command line of "frauddetect backtest".
type backtestOptions struct {
	backtest
	rulesFile, dir string
	brokers        []string
	diffFile       string
	reportFile     string
}

func parseBacktestOptions(args []string, out io.Writer) (o backtestOptions, err error) {
	f := newFlags("frauddetect backtest", backtestUsage, out)
	f.StringVar(&o.rulesFile, "rules", "", "the YAML `file` of the rules to test")
	f.StringVar(&o.dir, "dir", "", "the `directory` of a desk that does not run")
	brokers := f.String("brokers", "", "the brokers, at these `addresses`")
	from := f.String("from", "", "begin at this `offset` of each partition of decision-inputs, or at a time of payments: @2018-04-01 or @2018-04-01T12:00:00Z (default: the beginning)")
	to := f.String("to", "", "end before this `offset` or time (default: the end)")
	first := f.Bool("first-match", false, "stop at the first live rule that hits, as a desk with --first-match does")
	f.StringVar(&o.diffFile, "diff", "", "write the hits that are new or lost to this `file`, one JSON object a line")
	f.StringVar(&o.reportFile, "report", "", "write the counts to this `file` as JSON")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: files are given by flags", f.Arg(0)))
	}
	if o.rulesFile == "" {
		errs = append(errs, errors.New("--rules names the rules to test"))
	}
	if (o.dir == "") == (*brokers == "") {
		errs = append(errs, errors.New("give either --dir or --brokers: where the desk's topics lie"))
	}
	if *brokers != "" {
		o.brokers = strings.Split(*brokers, ",")
	}
	if *first {
		o.matching = rulebook.FirstMatch
	}
	var err1, err2 error
	o.from, err1 = parseBound("--from", *from)
	o.to, err2 = parseBound("--to", *to)
	if err := errors.Join(append(errs, err1, err2)...); err != nil {
		return o, err
	}
	o.rules, err = rulebook.ReadFile(o.rulesFile)
	return o, err
}

func parseBound(name, text string) (b bound, err error) {
	if text == "" {
		return b, nil
	}
	b.set = true
	if at, isTime := strings.CutPrefix(text, "@"); isTime {
		if b.time, err = time.Parse(time.RFC3339, at); err != nil {
			b.time, err = time.Parse(time.DateOnly, at)
		}
	} else if b.offset, err = strconv.ParseInt(text, 10, 64); err == nil && b.offset < 0 {
		err = errors.New("negative")
	}
	if err != nil {
		return b, fmt.Errorf("%s %q: want an offset, or @ and a time such as @2018-04-01T12:00:00Z", name, text)
	}
	return b, nil
}

func runBacktest(ctx context.Context, o backtestOptions, stdout io.Writer, stderr *os.File) (err error) {
	if _, err := o.book(); err != nil {
		return err // before anything is read
	}
	var read atomic.Int64
	o.seen = func() { read.Add(1) }
	display := progress.Start(stderr, progress.Config{Terminal: progress.IsTerminal(stderr)}, func() string {
		return progress.Count(read.Load()) + " inputs"
	})
	defer display.Stop()
	o.cluster = stream.Kafka(o.brokers...)
	if o.dir != "" {
		o.cluster = stream.Embedded(o.dir)
	}
	o.cluster.Observe(newLogger(display, false), prometheus.NewRegistry())
	if err := o.cluster.Open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.cluster.Close()) }()
	test := func(w io.Writer) error {
		o.diff = w
		return o.run(ctx)
	}
	if o.diffFile == "" {
		err = test(nil)
	} else {
		err = writeFile(o.diffFile, test)
	}
	if err != nil {
		return err
	}
	fmt.Fprint(stdout, o.report.String())
	if o.reportFile == "" {
		return nil
	}
	return writeFile(o.reportFile, func(w io.Writer) error { return json.MarshalWrite(w, o.report, json.Deterministic(true)) })
}
