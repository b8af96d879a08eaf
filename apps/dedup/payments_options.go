package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/riffle-stream/riffle/apps/internal/duplicates"
)

const paymentsUsage = `usage: dedup payments --input FILE [flags]

Finds card payments that come twice, in a file in the order in which they arrived: sent again under the same id (exact, or conflict if
the content differs), or made again under another one, on the same card at the same terminal for the same amount or nearly
so (double, near). A negative amount is a reversal, which takes its charge back.

What goes on lies in the topic payments-passed, what is set aside in payments-routed, and a line about each payment in payments-decisions;
payments-counts has the number of each verdict by the hour.

`

// paymentsOptions find payments that come twice.
type paymentsOptions struct {
	options
	detection
	columns paymentColumns
}

// paymentColumns are the names of a file's columns.
type paymentColumns struct {
	id, card, terminal string
	amount             string // NAME in units, such as 12.50, or NAME:minor
	at, arrival        string // as rowsOptions.timeColumn; arrival may be empty
	label              string // may be empty
}

// defaultColumns is the default of --columns.
const defaultColumns = "id=event_id,card=card,terminal=terminal,amount=amount_cents:minor,at=event_ms:ms,arrival=arrival_ms:ms"

func parsePaymentsOptions(args []string, out io.Writer) (paymentsOptions, error) {
	o := paymentsOptions{detection: newDetection()}
	f := o.flagSet("dedup payments", paymentsUsage, out)
	o.inputFlags(f)
	columns := f.String("columns", defaultColumns, "the `columns` that hold what is compared. amount is in units with decimals, or NAME:minor; at and arrival are dates, or numbers as NAME:s or NAME:ms since 1970; arrival may be left out, and label=NAME counts decisions by what a payment really is")
	o.detection.flags(f)
	err := o.parse(f, args)
	if errors.Is(err, flag.ErrHelp) {
		return o, err
	}
	return o, errors.Join(err, o.detection.check(), o.columns.parse(*columns))
}

// detection is what both ways to find payments that come twice have in common.
type detection struct {
	ttlTime string // arrival or event
	detect  duplicates.Config
	actions Actions
	tally   time.Duration
	percent float64
}

func newDetection() detection { return detection{actions: defaultActions()} }

func (o *detection) flags(f *flag.FlagSet) {
	f.StringVar(&o.ttlTime, "ttl-time", "arrival", "the `time` in which ids are forgotten: arrival or event")
	f.DurationVar(&o.detect.TTL, "ttl", 0, "how long an id is remembered after its first payment (default 24h0m0s)")
	f.DurationVar(&o.detect.Window, "window", 0, "how far apart two payments may lie to be doubles; negative for no such check (default 5m0s)")
	f.DurationVar(&o.detect.Lateness, "lateness", 0, "how far payments may come out of order and still be compared (default 1h0m0s)")
	f.Float64Var(&o.percent, "near", 1, "by how many `percent` nearly equal amounts may differ; negative for equal amounts only")
	f.Func("action", "`VERDICT=ACTION`: pass, tag, route or drop what is exact, conflict, double or near (repeatable; default exact=drop, conflict=route, double=tag, near=tag)", o.setAction)
	f.DurationVar(&o.tally, "tally", time.Hour, "how long the `windows` are for which verdicts are counted")
}

// check is called when the flags are parsed.
func (o *detection) check() (err error) {
	o.detect.NearBasisPoints = int64(o.percent * 100)
	if o.percent >= 0 && o.detect.NearBasisPoints == 0 {
		o.detect.NearBasisPoints = -1 // the detector takes 0 for its default
	}
	if o.ttlTime != "arrival" && o.ttlTime != "event" {
		err = fmt.Errorf("--ttl-time is %q: want arrival or event", o.ttlTime)
	}
	if o.tally < time.Second {
		err = errors.Join(err, fmt.Errorf("--tally is %v: want at least 1s", o.tally))
	}
	return err
}

func (o *detection) setAction(s string) error {
	name, action, _ := strings.Cut(s, "=")
	verdict := duplicates.Verdict(name)
	if verdict == duplicates.Unique || !slices.Contains(duplicates.Verdicts(), verdict) {
		return fmt.Errorf("there is no verdict %q: want exact, conflict, double or near", name)
	}
	switch a := Action(action); a {
	case Pass, Tag, Route, Drop:
		o.actions[verdict] = a
		return nil
	}
	return fmt.Errorf("there is no action %q: want pass, tag, route or drop", action)
}

func (c *paymentColumns) parse(spec string) error {
	fields := map[string]*string{
		"id": &c.id, "card": &c.card, "terminal": &c.terminal, "amount": &c.amount, "at": &c.at, "arrival": &c.arrival, "label": &c.label,
	}
	var errs []error
	for part := range strings.SplitSeq(spec, ",") {
		name, column, _ := strings.Cut(part, "=")
		if fields[name] == nil || column == "" {
			errs = append(errs, fmt.Errorf("--columns: %q: want FIELD=COLUMN, with a field of %s", part, strings.Join(slices.Sorted(maps.Keys(fields)), ", ")))
			continue
		}
		*fields[name] = column
	}
	for _, name := range []string{"id", "card", "terminal", "amount", "at"} {
		if *fields[name] == "" && errs == nil {
			errs = append(errs, fmt.Errorf("--columns: no column for %s", name))
		}
	}
	return errors.Join(errs...)
}

// settings is what must stay the same in a directory.
func (o paymentsOptions) settings() string {
	return fmt.Sprintf("payments %+v --ttl-time %s %+v %v", o.columns, o.ttlTime, o.detect, o.actions)
}
