package main

import (
	"context"
	"encoding/json/v2"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/apps/frauddetect/training"
	"github.com/riffle-stream/riffle/apps/internal/progress"
)

// The names of the models that are trained here.
const (
	logisticName = "logistic"
	treesName    = "trees"
)

// trainOptions are the command line of "frauddetect train".
type trainOptions struct {
	replayOptions
	days      int
	published bool
	trees     training.TreesConfig
	out       string
}

const trainUsage = `usage: frauddetect train --input FILE --out DIRECTORY [flags]
       frauddetect train --generate DAYS --out DIRECTORY [flags]

Replays labelled payments through broker and topology, as evaluate does, and fits two models to their features: logistic
regression, model_logistic.json, and gradient-boosted trees in XGBoost's format, model_trees.json. It learns from the last days
of the payments, all but the last week, whose labels have not come yet. Equal payments give equal models.

`

// defaultTrainDays is how many days are learned from.
const defaultTrainDays = 60

func parseTrainOptions(args []string, out io.Writer) (o trainOptions, err error) {
	f := newFlags("frauddetect train", trainUsage, out)
	o.flags(f)
	treesFlags(f, &o.trees)
	f.IntVar(&o.days, "days", defaultTrainDays, "learn from so many `days`; the 37 before the first of them fill the windows")
	f.BoolVar(&o.published, "published", false, "learn from the 15 published features alone")
	f.StringVar(&o.out, "out", "", "write the models into this `directory`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	errs := []error{o.validate(f), validateTrees(o.trees)}
	if o.out == "" {
		errs = append(errs, errors.New("--out names the directory for the models"))
	}
	if o.days < 1 {
		errs = append(errs, fmt.Errorf("--days is %d: want at least 1", o.days))
	}
	return o, errors.Join(errs...)
}

func treesFlags(f *flag.FlagSet, c *training.TreesConfig) {
	f.IntVar(&c.Rounds, "rounds", 0, "number of trees (default 100)")
	f.IntVar(&c.Depth, "depth", 0, "depth of a tree (default 4)")
	f.Float64Var(&c.LearningRate, "learning-rate", 0, "how much of its error each tree takes away (default 0.1)")
}

func validateTrees(c training.TreesConfig) error {
	if c.Rounds < 0 || c.Depth < 0 || c.Depth > 16 || !(c.LearningRate >= 0 && c.LearningRate <= 1) {
		return errors.New("--rounds wants 1 or more, --depth 1 to 16, --learning-rate more than 0 and up to 1")
	}
	return nil
}

// trainModels fits both models.
func trainModels(set *training.Set, cfg training.TreesConfig) ([]scoring.Model, error) {
	files, err := fit(set, cfg)
	if err != nil {
		return nil, err
	}
	var models []scoring.Model
	for _, f := range files {
		m, err := scoring.Parse(f.name, f.json)
		if err != nil {
			return nil, err
		}
		models = append(models, m)
	}
	return models, nil
}

// modelFile is a model as it is written.
type modelFile struct {
	name string
	json []byte
}

func fit(set *training.Set, cfg training.TreesConfig) (files []modelFile, err error) {
	logistic, err := training.Logistic(set)
	if err != nil {
		return nil, err
	}
	trees, err := training.Trees(set, cfg)
	if err != nil {
		return nil, err
	}
	a, err1 := json.Marshal(logistic)
	b, err2 := json.Marshal(trees)
	return []modelFile{{logisticName, append(a, '\n')}, {treesName, append(b, '\n')}}, errors.Join(err1, err2)
}

func runTrain(ctx context.Context, o trainOptions, stdout io.Writer, stderr *os.File) error {
	var rows []trainRow
	last := 0
	add := func(s *Score) {
		r := trainRow{vector: s.Vector()}
		r.Day, r.Fraud = dayOf(s.Time), s.Fraud()
		rows, last = append(rows, r), max(last, r.Day)
	}
	set := training.Set{Published: o.published}
	var files []modelFile
	r := &replay{replayOptions: o.replayOptions}
	err := r.run(ctx, stderr, add, func() (err error) {
		r.line.set("training", nil)
		until := last + 1 - 7
		for _, r := range rows {
			if r.Day >= until-o.days && r.Day < until {
				set.Add(r.vector, r.Fraud)
			}
		}
		files, err = fit(&set, o.trees)
		return err
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.out, 0o777); err != nil {
		return err
	}
	fmt.Fprintln(stdout, r.stats)
	for _, f := range files {
		path := filepath.Join(o.out, "model_"+f.name+".json")
		if err := os.WriteFile(path, f.json, 0o666); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "  %s: %s bytes, from %s payments\n", path, progress.Count(int64(len(f.json))), progress.Count(int64(len(set.Rows))))
	}
	return nil
}
