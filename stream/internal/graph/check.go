package graph

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/riffle-stream/riffle/state"
)

// maxTopicName is Kafka's limit on the length of a topic's name.
const maxTopicName = 249

// check is one run of Build over a builder's nodes.
type check struct {
	app      string
	nodes    []*Node
	children [][]*Node // by node ID
	errs     []error
}

func (c *check) mistake(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("stream: "+format, args...))
}

// validName reports what is wrong with s as a topic's name or a part of one, or "".
// The rule is Kafka's (org.apache.kafka.common.internals.Topic).
func validName(s string) string {
	switch {
	case s == "":
		return "is empty"
	case s == "." || s == "..":
		return "is not allowed"
	case len(s) > maxTopicName:
		return fmt.Sprintf("is longer than %d bytes", maxTopicName)
	}
	for _, r := range s {
		switch {
		case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', r == '.', r == '_', r == '-':
		default:
			return fmt.Sprintf("holds %q: only letters, digits, '.', '_' and '-' are allowed", r)
		}
	}
	return ""
}

// names checks the application's name and that no two steps share one. Sources and sinks are named after their
// topics, so several of them may carry one name.
func (c *check) names() {
	if why := validName(c.app); why != "" {
		c.mistake("the builder's name %q %s", c.app, why)
	}
	seen := make(map[string]*Node)
	for _, n := range c.nodes {
		if n.Kind == Source || n.Kind == Sink || n.Kind == Global {
			continue
		}
		if n.given {
			if why := validName(n.Name); why != "" {
				c.mistake("the name %q of a %s step %s", n.Name, n.Op, why)
			}
		}
		if first := seen[n.Name]; first != nil {
			c.mistake("two steps have the name %q (%s and %s): a name stands for one step", n.Name, first.Op, n.Op)
			continue
		}
		seen[n.Name] = n
	}
}

// topics checks the names of the user's topics, and that a name always means the same types.
func (c *check) topics() {
	type use struct {
		node   *Node
		serdes string
	}
	seen := make(map[string]use)
	sources := 0
	for _, n := range c.nodes {
		if n.Kind == Source {
			sources++
		}
		if n.Kind != Source && n.Kind != Sink && n.Kind != Global {
			continue
		}
		first, again := seen[n.Topic]
		switch {
		case !again:
			seen[n.Topic] = use{n, n.Serdes}
			if why := validName(n.Topic); why != "" {
				c.mistake("%s: the topic's name %q %s", n.Op, n.Topic, why)
			}
		case first.serdes != n.Serdes:
			c.mistake("topic %q is defined twice, as %s and as %s: use one definition", n.Topic, first.serdes, n.Serdes)
		}
	}
	if sources == 0 {
		c.mistake("the topology reads no topic: start it with From")
	}
}

// stores checks that a store's name is valid and always means the same definition.
func (c *check) stores() {
	type use struct {
		node  *Node
		store Store
	}
	seen := make(map[string]use)
	for _, n := range c.nodes {
		named := make(map[string]bool)
		for _, s := range n.Stores {
			name := s.Spec.Name
			if s.Spec.Err != nil {
				c.errs = append(c.errs, fmt.Errorf("stream: %s %q: %w", n.Op, n.Name, s.Spec.Err))
				continue
			}
			if named[name] {
				c.mistake("%s %q names store %q twice", n.Op, n.Name, name)
				continue
			}
			named[name] = true
			first, again := seen[name]
			switch {
			case !again:
				seen[name] = use{n, s}
			case first.store.Type != s.Type || !reflect.DeepEqual(first.store.Spec, s.Spec):
				c.mistake("store %q of %s %q is not the store %q of %s %q: use one definition, or give each its own name",
					name, n.Op, n.Name, name, first.node.Op, first.node.Name)
			}
		}
	}
}

// timers checks that what fires of each store of timers calls one step, and only one.
func (c *check) timers() {
	fires := make(map[string]*Node)
	for _, n := range c.nodes {
		for _, store := range n.Fires {
			if first := fires[store]; first != nil {
				c.mistake("the timers %q call process %q and process %q: give each its own", store, first.Name, n.Name)
				continue
			}
			fires[store] = n
		}
	}
	told := make(map[string]bool)
	for _, n := range c.nodes {
		for _, s := range n.Stores {
			if name := s.Spec.Name; s.Spec.Kind == state.KindTimers && fires[name] == nil && !told[name] {
				told[name] = true
				c.mistake("process %q: nothing happens when the timers %q are due: name them in the OnTimer of a processor", n.Name, name)
			}
		}
	}
}

// ends checks that every chain ends in a step with an effect.
func (c *check) ends() {
	for _, n := range c.nodes {
		if n.Leaf || len(c.children[n.ID]) > 0 {
			continue
		}
		switch n.Kind {
		case Source:
			c.mistake("source %q is not used: end it with To, Process or Peek", n.Name)
			continue
		case Global:
			c.mistake("global table %q is not used: join a stream with it", n.Name)
			continue
		}
		c.mistake("%s %q leads nowhere: end it with To, Process or Peek", n.Op, n.Name)
	}
}

// loops reports a topic that feeds itself: a record in it would travel for ever.
func (c *check) loops() {
	sources := make(map[string]*Node)
	for _, n := range c.nodes {
		if n.Kind == Source {
			sources[n.Topic] = n
		}
	}
	const (
		open = iota + 1
		done
	)
	state := make([]int, len(c.nodes))
	var path []string // topics on the way from the source where the walk began
	var visit func(n *Node)
	visit = func(n *Node) {
		if n == nil || state[n.ID] == done {
			return
		}
		if state[n.ID] == open { // only sources close a loop: every other edge points forward
			from := 0
			for path[from] != n.Topic {
				from++
			}
			c.mistake("topics form a loop: %s -> %s: a record would travel for ever",
				strings.Join(path[from:], " -> "), n.Topic)
			return
		}
		state[n.ID] = open
		if n.Kind == Source {
			path = append(path, n.Topic)
			defer func() { path = path[:len(path)-1] }()
		}
		if n.Kind == Sink {
			visit(sources[n.Topic])
		}
		for _, child := range c.children[n.ID] {
			visit(child)
		}
		state[n.ID] = done
	}
	for _, n := range c.nodes {
		if n.Kind == Source {
			visit(n)
		}
	}
}

// internalTopics checks the names of the topics that the application makes for itself.
func (c *check) internalTopics(subs []*SubTopology) {
	user := make(map[string]*Node)
	for _, n := range c.nodes {
		if n.Kind == Source || n.Kind == Sink || n.Kind == Global {
			user[n.Topic] = n
		}
	}
	owner := make(map[string]string)
	reserve := func(topic, what string) {
		if n := user[topic]; n != nil {
			c.mistake("%s: topic %q belongs to %s of this application", n.Op, topic, what)
		}
		if other := owner[topic]; other != "" && other != what {
			c.mistake("%s and %s would share the topic %q: rename one", other, what, topic)
		}
		if len(topic) > maxTopicName {
			c.mistake("%s: its topic %q is longer than %d bytes: shorten the name", what, topic, maxTopicName)
		}
		owner[topic] = what
	}
	reserve(DeadLetterTopic(c.app), "the dead letters")
	reserve(TopologyTopic(c.app), "the text of the topology")
	reserve(IdleCloseTopic(c.app), "the idle closes")
	for _, s := range subs {
		if s.Parking != "" {
			reserve(ChangelogTopic(c.app, s.Parking), "the parked keys of "+s.Inputs[0].Node.Name)
		}
	}
	for _, n := range c.nodes {
		if n.Repartitions() {
			reserve(n.Topic, fmt.Sprintf("rekey %q", n.Name))
		}
		for _, s := range n.Stores {
			reserve(ChangelogTopic(c.app, s.Spec.Name), fmt.Sprintf("store %q", s.Spec.Name))
		}
	}
}
