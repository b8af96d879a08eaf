package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/riffle-stream/riffle/state"
)

// TestScripts builds graphs from text. The one command is
//
//	build [app=NAME]
//	source TOPIC [serdes=S] [key=S]
//	process NAME INPUT... [stores=S,S] [fires=S] [newkey]
//	rekey NAME INPUT [key=S]
//	global TOPIC [serdes=S]
//	filter|map|merge|peek|branch INPUT...     (the user gives these no name)
//	asyncmap NAME INPUT
//	to TOPIC INPUT... [serdes=S]
//
// INPUT is the name of a node above, or NAME.yes for an output of a branch; a source is called as its topic. A store
// is written NAME, NAME/ttl for one with a time to live, NAME/timers for one of timers, or NAME:type for one of another Go type. It prints the
// topology's text, then what each sub-topology reads and writes, or the mistakes.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "build" {
				t.Fatalf("unknown command %q", d.Cmd)
			}
			app := "app"
			d.MaybeScanArgs(t, "app", &app)
			g, err := parse(t, app, d.Input).Build()
			if err != nil {
				return err.Error() + "\n"
			}
			return g.String() + summary(g)
		})
	})
}

func summary(g *Topology) string {
	var b strings.Builder
	b.WriteString("--\n")
	for _, s := range g.Subs {
		var stores []string
		for _, spec := range s.Stores {
			stores = append(stores, spec.Name)
		}
		fmt.Fprintf(&b, "%d: %s -> %s", s.ID, strings.Join(s.Topics(), ","), strings.Join(s.Outputs, ","))
		if s.Stateful() {
			fmt.Fprintf(&b, " stores %s", strings.Join(stores, ","))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func parse(t *testing.T, app, script string) *Builder {
	b := NewBuilder(app)
	nodes := make(map[string]*Node)
	for line := range strings.Lines(script) {
		var n Node
		var inputs []string
		fields := strings.Fields(line)
		op := fields[0]
		for _, word := range fields[1:] {
			key, value, option := strings.Cut(word, "=")
			switch {
			case option && key == "serdes":
				n.Serdes = value
			case option && key == "key":
				n.Key = value
			case word == "newkey":
				n.NewKey = true
			case option && key == "stores":
				for s := range strings.SplitSeq(value, ",") {
					n.Stores = append(n.Stores, parseStore(s))
				}
			case option && key == "fires":
				n.Fires = append(n.Fires, value)
			default:
				inputs = append(inputs, word)
			}
		}
		n.Op, n.Kind, n.Pure = op, Processor, true
		switch op {
		case "source", "to", "global":
			n.Pure = false
			n.Kind, n.Op = Source, "from"
			switch op {
			case "to":
				n.Kind, n.Op, n.Leaf = Sink, "to", true
			case "global":
				n.Kind, n.Op = Global, "globaltable"
			}
			n.Name, n.Topic, inputs = inputs[0], inputs[0], inputs[1:]
		case "process", "rekey", "asyncmap":
			n.Pure, n.Async = false, op == "asyncmap"
			n.Name, inputs = inputs[0], inputs[1:]
			n.Leaf = op == "process"
			if op == "rekey" {
				n.Kind = Rekey
			}
		case "peek":
			n.Leaf = true
		}
		for _, in := range inputs {
			name, port := in, ""
			if before, after, ok := strings.Cut(in, "."); ok && nodes[in] == nil {
				name, port = before, after
			}
			if nodes[name] == nil {
				t.Fatalf("%q: no node %q", line, name)
			}
			n.Inputs = append(n.Inputs, Edge{nodes[name], port})
		}
		added := b.Add(n)
		if n.Kind != Sink {
			nodes[added.Name] = added
		}
	}
	return b
}

func parseStore(s string) Store {
	name, kind, _ := strings.Cut(s, ":")
	store := Store{Type: kind}
	name, form, _ := strings.Cut(name, "/")
	store.Spec.Name = name
	switch form {
	case "ttl":
		store.Spec.TTL = time.Minute
	case "timers":
		store.Spec.Kind = state.KindTimers
	}
	if name == "bad!" {
		store.Spec.Err = fmt.Errorf("state: store name %q: want letters", name)
	}
	return store
}
