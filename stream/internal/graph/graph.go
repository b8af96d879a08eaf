package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/state"
)

// Kind says what a node is.
type Kind int

const (
	Source    Kind = iota + 1 // reads a topic
	Processor                 // calls a user function
	Rekey                     // gives records a new key, and may write a repartition topic
	Sink                      // writes a topic
	Global                    // a table of all partitions of a topic, outside the tasks
)

func (k Kind) String() string {
	switch k {
	case Source:
		return "source"
	case Processor:
		return "processor"
	case Rekey:
		return "rekey"
	case Sink:
		return "sink"
	case Global:
		return "global"
	}
	return fmt.Sprintf("kind(%d)", int(k))
}

// Edge is an input of a node: another node, and for a node with several outputs which of them.
type Edge struct {
	From *Node
	Port string // empty for a node with one output
}

func (e Edge) String() string {
	if e.Port == "" {
		return e.From.Name
	}
	return e.From.Name + "." + e.Port
}

// Store is a store as a node names it.
type Store struct {
	Spec state.Spec
	Type string // Go type of the definition, to tell two definitions of one name apart
}

// Node is one step of a topology.
type Node struct {
	ID      int // position in the order of creation
	Kind    Kind
	Name    string
	Op      string // the operator as the user calls it, in lower case: "filter", "merge"
	Inputs  []Edge
	Topic   string   // what a source reads, a sink writes, and a rekey step writes if it repartitions
	Stores  []Store  // what a processor may use
	Fires   []string // stores of timers whose timers call it
	Windows string   // definition of the windows of a windowed step
	Leaf    bool     // may stand at the end of a chain: sinks, processors, peeks
	Serdes  string   // of a source or sink, to tell two topics of one name apart
	Key     string   // of a source or rekey step: the serde of its keys
	NewKey  bool     // a processor that may send records under other keys
	// Pure marks a step that depends on the record alone, and does nothing but send others under its key: it may be
	// called for a record ahead of its turn.
	Pure  bool
	Async bool // makes calls that are begun ahead of the record's turn
	Ahead bool // leads from a source to an asynchronous step, or is one

	given bool // the name was given by the user
}

// Repartitions reports whether n is a rekey step that writes a repartition topic.
func (n *Node) Repartitions() bool { return n.Kind == Rekey && n.Topic != "" }

// Input is a topic that a sub-topology reads.
type Input struct {
	Topic       string
	Repartition bool  // written by the topology itself
	Node        *Node // the source, or for a repartition topic the rekey step that writes it
}

// SubTopology is a set of connected nodes. It runs as one task per partition of its inputs.
type SubTopology struct {
	ID      int
	Inputs  []Input      // in the order in which the topology names them
	Outputs []string     // topics it writes, repartition topics included, in order, each once
	Stores  []state.Spec // in the order in which the topology names them
	Nodes   []*Node      // in order of creation
	Parking string       // the store of parked keys; empty if keys are not parked
}

// Stateful reports whether the sub-topology has stores.
func (s *SubTopology) Stateful() bool { return len(s.Stores) > 0 }

// Topics returns the topics the sub-topology reads, in the order in which the topology names them.
func (s *SubTopology) Topics() []string {
	topics := make([]string, len(s.Inputs))
	for i, in := range s.Inputs {
		topics[i] = in.Topic
	}
	return topics
}

// Topology is a checked description of a whole application.
type Topology struct {
	Name string // of the application: prefix of its internal topics, and its consumer group
	Subs []*SubTopology

	nodes []*Node
}

// Node returns the node with the given ID, or nil.
func (t *Topology) Node(id int) *Node {
	if id < 0 || id >= len(t.nodes) {
		return nil
	}
	return t.nodes[id]
}

// Sources returns the user's topics that the topology reads, in order of mention.
func (t *Topology) Sources() []string {
	return t.topics(func(n *Node) bool { return n.Kind == Source })
}

// Sinks returns the user's topics that the topology writes, in order of mention.
func (t *Topology) Sinks() []string { return t.topics(func(n *Node) bool { return n.Kind == Sink }) }

// Globals returns the topics of the global tables, in order of mention.
func (t *Topology) Globals() []string {
	return t.topics(func(n *Node) bool { return n.Kind == Global })
}

// Repartitions returns the repartition topics, in order of mention.
func (t *Topology) Repartitions() []string { return t.topics((*Node).Repartitions) }

// OwnInputs returns the topics that the topology both writes and reads, in order of mention: those of rekey steps, and the user's that
// lie between two of its parts.
func (t *Topology) OwnInputs() []string {
	sinks := t.Sinks()
	return t.topics(func(n *Node) bool { return n.Repartitions() || n.Kind == Source && slices.Contains(sinks, n.Topic) })
}

func (t *Topology) topics(wanted func(*Node) bool) []string {
	var topics []string
	seen := make(map[string]bool)
	for _, n := range t.nodes {
		if wanted(n) && !seen[n.Topic] {
			seen[n.Topic] = true
			topics = append(topics, n.Topic)
		}
	}
	return topics
}

// RepartitionTopic names the topic that the rekey step of that name writes.
func RepartitionTopic(app, name string) string { return app + "-" + name + "-repartition" }

// ChangelogTopic names the changelog topic of a store.
func ChangelogTopic(app, store string) string { return app + "-" + store + "-changelog" }

// TopologyTopic names the topic that holds the text of an application's topology.
func TopologyTopic(app string) string { return app + "-topology" }

// IdleCloseTopic names the topic in which the application notes that stream time went on without records.
func IdleCloseTopic(app string) string { return app + "-idle-closes" }

// DeadLetterTopic names the topic that holds the records an application could not process.
func DeadLetterTopic(app string) string { return app + "-dead-letters" }

// String describes the topology as text, one node a line, in the order in which the topology names them:
//
//	source payments
//	processor once store=seen <- payments
//	rekey by-shop topic=app-by-shop-repartition <- once
//	sink large-payments <- once-filter-1
//
// With more than one sub-topology, each opens with a line of its own that names its inputs and stores:
//
//	sub-topology 1 reads=app-by-shop-repartition stores=totals
//
// Global tables stand in front of everything:
//
//	global shops
//
// The text is stable: equal topologies have equal texts, and only a change of the topology changes it.
func (t *Topology) String() string {
	var b strings.Builder
	for _, topic := range t.Globals() {
		fmt.Fprintf(&b, "global %s\n", topic)
	}
	for _, sub := range t.Subs {
		if len(t.Subs) > 1 {
			if b.Len() > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "sub-topology %d reads=%s", sub.ID, strings.Join(sub.Topics(), ","))
			for j, s := range sub.Stores {
				b.WriteString([]string{" stores=", ","}[min(j, 1)])
				b.WriteString(s.Name)
			}
			b.WriteByte('\n')
		}
		sub.describe(&b)
	}
	return b.String()
}

// parking is what the text of the first input says of the store of parked keys.
func (s *SubTopology) parking(input *Node) string {
	if s.Parking == "" || input != s.Inputs[0].Node {
		return ""
	}
	return " store=" + s.Parking
}

func (s *SubTopology) describe(b *strings.Builder) {
	for _, in := range s.Inputs {
		if in.Repartition {
			fmt.Fprintf(b, "source %s topic=%s%s\n", in.Node.Name, in.Topic, s.parking(in.Node))
		}
	}
	for _, n := range s.Nodes {
		fmt.Fprintf(b, "%s %s", n.Kind, n.Name)
		if n.Kind == Source {
			b.WriteString(s.parking(n))
		}
		if n.Repartitions() {
			fmt.Fprintf(b, " topic=%s", n.Topic)
		}
		if n.Windows != "" {
			fmt.Fprintf(b, " windows=%s", n.Windows)
		}
		for j, store := range n.Stores {
			b.WriteString([]string{" store=", ","}[min(j, 1)])
			b.WriteString(store.Spec.Name)
		}
		for j, e := range n.Inputs {
			b.WriteString([]string{" <- ", ", "}[min(j, 1)])
			b.WriteString(e.String())
		}
		b.WriteByte('\n')
	}
}
