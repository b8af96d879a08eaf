package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/apps/frauddetect/training"
)

// evaluateOptions are the command line of "frauddetect evaluate".
type evaluateOptions struct {
	replayOptions
	train   time.Time // first day of the train week
	weeks   int
	retrain int // days to train on for each week, 0 not at all
	trees   training.TreesConfig
	expect  []string
	report  string
}

const evaluateUsage = `usage: frauddetect evaluate --input FILE [flags]
       frauddetect evaluate --generate DAYS [flags]

Replays labelled payments through broker and topology, scores them, and prints how well the scores find frauds: by the
protocol of Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection". A train week, a week
in which its labels arrive, and a test week, without the cards that are known to be compromised.

Without --model it takes the model_*.json beside the input, or else those that come with the program. A star marks models that were
trained for each test week, a plus those that see all features of this program and not only the published ones.

`

// firstTrainDay is the train week that the published numbers are for.
const firstTrainDay = "2018-07-25"

func parseEvaluateOptions(args []string, out io.Writer) (o evaluateOptions, err error) {
	f := newFlags("frauddetect evaluate", evaluateUsage, out)
	var modelFiles []string
	o.flags(f)
	f.Func("model", "score with the model in this JSON `file`; may be repeated", func(path string) error {
		modelFiles = append(modelFiles, path)
		return nil
	})
	f.Func("expect", "compare features and scores with the columns of this CSV `file`, by TRANSACTION_ID or id; may be repeated", func(path string) error {
		o.expect = append(o.expect, path)
		return nil
	})
	train := f.String("train", firstTrainDay, "first `day` of the train week")
	f.IntVar(&o.weeks, "weeks", 4, "number of test weeks; the first begins 14 days after the train week")
	f.IntVar(&o.retrain, "retrain", 0, "measure models too that are trained for each week on so many `days`, up to the end of its train week")
	online := f.Bool("online", false, "measure a model too that learns from labels when they come, from the first payment on")
	treesFlags(f, &o.trees)
	f.StringVar(&o.report, "report", "", "write the results to this `file` as JSON")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	errs := []error{o.validate(f), validateTrees(o.trees)}
	if o.weeks < 1 || o.retrain < 0 {
		errs = append(errs, errors.New("--weeks wants at least 1, --retrain 0 or more"))
	}
	if o.train, err = time.Parse(time.DateOnly, *train); err != nil {
		errs = append(errs, fmt.Errorf("--train %q: want a day such as %s", *train, firstTrainDay))
	}
	if err := errors.Join(errs...); err != nil {
		return o, err
	}
	if o.models, err = loadModels(modelFiles, o.input); err != nil || !*online {
		return o, err
	}
	learner, err := scoring.Parse(onlineName, []byte(`{"online":{}}`))
	o.models = append(o.models, learner)
	return o, err
}

// onlineName is the name of the model of --online.
const onlineName = "online"

// newFlags returns a set whose errors are printed once, by the caller.
func newFlags(name, usage string, out io.Writer) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.Usage = func() {
		fmt.Fprint(out, usage)
		f.SetOutput(out)
		f.PrintDefaults()
	}
	return f
}

// flags defines the flags of the options.
func (e *replayOptions) flags(f *flag.FlagSet) {
	f.StringVar(&e.input, "input", "", "read this CSV `file`, plain or gzipped, with labels in the column TX_FRAUD_SCENARIO")
	f.IntVar(&e.generate, "generate", 0, "use so many `days` of made-up payments instead")
	f.Uint64Var(&e.generator.Seed, "seed", 0, "generator: equal seeds make equal payments")
	f.IntVar(&e.generator.Customers, "customers", 0, "generator: number of cards (default 5000)")
	f.IntVar(&e.generator.Terminals, "terminals", 0, "generator: number of terminals (default 10000)")
	f.IntVar(&e.workers, "workers", runtime.GOMAXPROCS(0), "how many tasks run in parallel")
	f.StringVar(&e.dir, "dir", "", "keep topics and state in this new `directory` (default: a temporary one)")
	f.BoolVar(&e.verbose, "verbose", false, "log what broker and application do")
}

func (e *replayOptions) validate(f *flag.FlagSet) error {
	var errs []error
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: files are given by flags", f.Arg(0)))
	}
	if (e.input == "") == (e.generate == 0) {
		errs = append(errs, errors.New("give either --input FILE or --generate DAYS (--help shows all flags)"))
	}
	if e.generate < 0 || e.workers < 1 {
		errs = append(errs, errors.New("--generate and --workers want at least 1"))
	}
	return errors.Join(errs...)
}

// loadModels reads the models that are named, or lie beside the input, or came with the program.
func loadModels(paths []string, input string) ([]scoring.Model, error) {
	if len(paths) == 0 && input != "" {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(input), "model_*.json"))
		if err != nil {
			return nil, fmt.Errorf("models beside %s: %w", input, err)
		}
		paths = found
	}
	if len(paths) == 0 {
		return scoring.Shipped()
	}
	var models []scoring.Model
	var errs []error
	for _, path := range paths {
		m, err := scoring.Load(path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case slices.ContainsFunc(models, func(other scoring.Model) bool { return other.Name() == m.Name() }):
			errs = append(errs, fmt.Errorf("two models are called %q: rename one of the files", m.Name()))
		default:
			models = append(models, m)
		}
	}
	return models, errors.Join(errs...)
}
