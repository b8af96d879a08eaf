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

	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
)

// evaluateOptions are the command line of "frauddetect evaluate".
type evaluateOptions struct {
	input    string
	generate int // days of made-up payments, if there is no input

	generator generator.Config
	models    []scoring.Model
	train     time.Time // first day of the train week
	weeks     int
	expect    []string

	workers int
	dir     string
	report  string
	verbose bool
}

const evaluateUsage = `usage: frauddetect evaluate --input FILE [flags]
       frauddetect evaluate --generate DAYS [flags]

Replays labelled payments through broker and topology, scores them, and prints how well the scores find frauds: by the
protocol of Le Borgne et al., "Reproducible Machine Learning for Credit Card Fraud Detection". A train week, a week
in which its labels arrive, and a test week, without the cards that are known to be compromised.

Without --model it takes the model_*.json beside the input.

`

// firstTrainDay is the train week that the published numbers are for.
const firstTrainDay = "2018-07-25"

func parseEvaluateOptions(args []string, out io.Writer) (o evaluateOptions, err error) {
	f := flag.NewFlagSet("frauddetect evaluate", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are printed once, by the caller
	f.Usage = func() {
		fmt.Fprint(out, evaluateUsage)
		f.SetOutput(out)
		f.PrintDefaults()
	}
	var modelFiles []string
	f.StringVar(&o.input, "input", "", "read this CSV `file`, plain or gzipped, with labels in the column TX_FRAUD_SCENARIO")
	f.IntVar(&o.generate, "generate", 0, "use so many `days` of made-up payments instead")
	f.Uint64Var(&o.generator.Seed, "seed", 0, "generator: equal seeds make equal payments")
	f.IntVar(&o.generator.Customers, "customers", 0, "generator: number of cards (default 5000)")
	f.IntVar(&o.generator.Terminals, "terminals", 0, "generator: number of terminals (default 10000)")
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
	f.IntVar(&o.workers, "workers", runtime.GOMAXPROCS(0), "how many tasks run in parallel")
	f.StringVar(&o.dir, "dir", "", "keep topics and state in this new `directory` (default: a temporary one)")
	f.StringVar(&o.report, "report", "", "write the results to this `file` as JSON")
	f.BoolVar(&o.verbose, "verbose", false, "log what broker and application do")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var errs []error
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("unexpected argument %q: files are given by --input, --model and --expect", f.Arg(0)))
	}
	if (o.input == "") == (o.generate == 0) {
		errs = append(errs, errors.New("give either --input FILE or --generate DAYS (--help shows all flags)"))
	}
	if o.generate < 0 || o.weeks < 1 || o.workers < 1 {
		errs = append(errs, errors.New("--generate, --weeks and --workers want at least 1"))
	}
	if o.train, err = time.Parse(time.DateOnly, *train); err != nil {
		errs = append(errs, fmt.Errorf("--train %q: want a day such as %s", *train, firstTrainDay))
	}
	if len(errs) > 0 {
		return o, errors.Join(errs...)
	}
	o.models, err = loadModels(modelFiles, o.input)
	return o, err
}

// loadModels reads the models that are named, or lie beside the input.
func loadModels(paths []string, input string) ([]scoring.Model, error) {
	if len(paths) == 0 && input != "" {
		found, err := filepath.Glob(filepath.Join(filepath.Dir(input), "model_*.json"))
		if err != nil {
			return nil, fmt.Errorf("models beside %s: %w", input, err)
		}
		paths = found
	}
	if len(paths) == 0 {
		return nil, errors.New("no models: name one with --model")
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
