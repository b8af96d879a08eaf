package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/riffle-stream/riffle/apps/frauddetect/deciding"
	"github.com/riffle-stream/riffle/apps/frauddetect/desk"
	"github.com/riffle-stream/riffle/apps/frauddetect/generator"
	"github.com/riffle-stream/riffle/apps/frauddetect/office"
	"github.com/riffle-stream/riffle/apps/frauddetect/rulebook"
	"github.com/riffle-stream/riffle/apps/frauddetect/scoring"
	"github.com/riffle-stream/riffle/apps/frauddetect/starter"
	"github.com/riffle-stream/riffle/stream"
)

// beginning is what a desk has in force when it starts.
//
// What files name is brought into force whenever it differs from what is. What comes with the program is, in place of files that are not
// named, only at the first start, when nothing has ever been in force: later, rules and models are what people have made of them.
type beginning struct {
	rulesFile  string
	modelFiles []string
	profile    generator.Profile // of the amounts of the starter's rules
	who        string
	command    string // which starts
}

// bringIntoForce makes the changes that are wanted, and waits until they hold in all partitions. The chain must be running.
func (w beginning) bringIntoForce(ctx context.Context, cluster *stream.Cluster, cfg chain) (err error) {
	o, err := office.Open(ctx, cluster, cfg.matching)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	first := false
	o.Look(func(b *deciding.Book) { first = b.Revision() == 0 })
	var set rulebook.File
	if first || w.rulesFile != "" {
		if set, err = w.rules(); err != nil {
			return err
		}
	}
	var models []scoring.File
	if first || len(w.modelFiles) > 0 {
		if models, err = w.models(); err != nil {
			return err
		}
	}
	last := ""
	for _, c := range o.Differences(set, models) {
		c.Who, c.Why = w.who, w.why(c)
		made, err := o.Change(ctx, c)
		if err != nil {
			return err
		}
		last = made.ID
	}
	if last == "" {
		return nil
	}
	_, err = o.Wait(ctx, last, cfg.partitions)
	return err
}

// why says where a change comes from.
func (w beginning) why(c desk.Change) string {
	switch {
	case c.Model != nil && len(w.modelFiles) > 0:
		return fmt.Sprintf("%s began with --model", w.command)
	case c.Model == nil && w.rulesFile != "":
		return fmt.Sprintf("%s began with --rules %s", w.command, filepath.Base(w.rulesFile))
	}
	return w.command + " began for the first time"
}

// rules are those of the file, or those that come with the program.
func (w beginning) rules() (rulebook.File, error) {
	if w.rulesFile == "" {
		return rulebook.File{Rules: starter.Rules(w.profile), Lists: starter.Lists()}, nil
	}
	return rulebook.ReadFile(w.rulesFile)
}

// models are those of the files, or those that come with the program, the one to be live first.
func (w beginning) models() ([]scoring.File, error) {
	if len(w.modelFiles) == 0 {
		files, err := scoring.ShippedFiles()
		slices.Reverse(files) // trees are the better ones
		return files, err
	}
	var files []scoring.File
	for _, path := range w.modelFiles {
		name, file, err := scoring.ReadFile(path)
		if err != nil {
			return nil, err
		}
		files = append(files, scoring.File{Name: name, JSON: file})
	}
	return files, nil
}
