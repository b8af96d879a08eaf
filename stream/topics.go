package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/state/changelog"
	"github.com/riffle-stream/riffle/stream/internal/client"
	"github.com/riffle-stream/riffle/stream/internal/graph"
)

const (
	// deadLetterBytes is the largest dead letter: an input record of any size that Kafka takes by default, with
	// its headers, and a good deal more.
	deadLetterBytes = 8 << 20
)

// topicPlan is what an application has to know about its topics.
type topicPlan struct {
	tasks      map[int]int32 // number of tasks by sub-topology
	changelogs []string
	takes      map[string]client.Takes // of the topics that are written
}

// recordLimits are the largest records by topic.
func (p *topicPlan) recordLimits() map[string]int {
	limits := make(map[string]int, len(p.takes))
	for topic, t := range p.takes {
		limits[topic] = t.RecordBytes
	}
	return limits
}

// prepareTopics looks at the application's topics, makes those that belong to it, and refuses what cannot work.
func (a *App) prepareTopics(ctx context.Context) (*topicPlan, error) {
	admin, err := client.NewAdmin(a.cluster.conn())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	p := &planner{graph: a.topology.program.Graph, conn: a.cluster.conn(), admin: admin, idle: a.cfg.IdleClose > 0, repeat: a.cfg.IdleClosesOf}
	if err := p.look(ctx); err != nil {
		return nil, fmt.Errorf("stream: application %s: %w", a.topology.Name(), err)
	}
	changed, err := a.checkTopology(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("stream: application %s: %w", a.topology.Name(), err)
	}
	plan, err := p.plan(ctx)
	if err != nil {
		return nil, fmt.Errorf("stream: application %s: %w", a.topology.Name(), err)
	}
	if changed {
		if err := a.storeTopology(ctx); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// planner decides how many partitions the topics of an application have.
type planner struct {
	graph *graph.Topology
	conn  client.Conn
	admin *client.Admin
	idle  bool // idle closes are noted
	// repeat is the application whose idle closes are repeated, if not its own.
	repeat string
	found  map[string]client.Topic
	count  map[string]int32 // partitions of each input topic, found or decided
}

// look asks the cluster which of the topics exist.
func (p *planner) look(ctx context.Context) (err error) {
	names := append(p.graph.Sources(), p.graph.Sinks()...)
	names = append(append(names, p.graph.Repartitions()...), p.graph.Globals()...)
	names = append(names, graph.DeadLetterTopic(p.graph.Name), graph.TopologyTopic(p.graph.Name), graph.IdleCloseTopic(p.graph.Name))
	if p.repeat != "" {
		names = append(names, graph.IdleCloseTopic(p.repeat))
	}
	for _, sub := range p.graph.Subs {
		for _, s := range sub.Stores {
			names = append(names, graph.ChangelogTopic(p.graph.Name, s.Name))
		}
	}
	p.found, err = p.admin.Topics(ctx, names...)
	return err
}

func (p *planner) plan(ctx context.Context) (*topicPlan, error) {
	if err := p.countInputs(); err != nil {
		return nil, err
	}
	plan := &topicPlan{tasks: make(map[int]int32)}
	var errs []error
	for _, sub := range p.graph.Subs {
		n, err := p.tasks(sub)
		errs = append(errs, err)
		plan.tasks[sub.ID] = n
		for _, s := range sub.Stores {
			topic := graph.ChangelogTopic(p.graph.Name, s.Name)
			plan.changelogs = append(plan.changelogs, topic)
			if t, ok := p.found[topic]; ok && t.Partitions != n && err == nil {
				errs = append(errs, fmt.Errorf("changelog topic %s has %d partitions, but its %d tasks need %d: the number of partitions of %s has changed, and keys have moved to other tasks; restore the old number, or rename the application, to begin anew",
					topic, t.Partitions, n, n, strings.Join(sub.Topics(), ", ")))
			}
		}
	}
	errs = append(errs, p.checkIdleCloses(plan))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	err := p.checkChangelogs(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.create(ctx, plan); err != nil {
		return nil, err
	}
	plan.takes, err = p.takes(ctx)
	return plan, err
}

// most is the largest number of tasks of a sub-topology.
func (p *topicPlan) most() int32 { return slices.Max(slices.Collect(maps.Values(p.tasks))) }

// checkIdleCloses refuses what the notes of idle closes do not fit.
func (p *planner) checkIdleCloses(plan *topicPlan) error {
	topic := graph.IdleCloseTopic(p.graph.Name)
	if t, ok := p.found[topic]; ok && p.idle && t.Partitions < plan.most() {
		return fmt.Errorf("topic %s has %d partitions, but there are %d tasks: the number of partitions of an input has grown; give it as many",
			topic, t.Partitions, plan.most())
	}
	if p.repeat != "" {
		if topic := graph.IdleCloseTopic(p.repeat); p.found[topic].Partitions == 0 {
			return fmt.Errorf("Config.IdleClosesOf names application %s, but topic %s does not exist: it has run without Config.IdleClose", p.repeat, topic)
		}
	}
	return nil
}

// countInputs finds the number of partitions of every input: those of the sources are given, a repartition topic
// gets as many as the topics it is read together with, or else as many as the sub-topology that writes it.
func (p *planner) countInputs() error {
	p.count = make(map[string]int32)
	var errs []error
	for _, topic := range p.graph.Globals() {
		if _, ok := p.found[topic]; !ok {
			errs = append(errs, fmt.Errorf("the topic of global table %s does not exist: riffle topic create %s --partitions N", topic, topic))
		}
	}
	for _, topic := range p.graph.Sources() {
		t, ok := p.found[topic]
		if !ok {
			errs = append(errs, fmt.Errorf("source topic %s does not exist: riffle topic create %s --partitions N", topic, topic))
		}
		p.count[topic] = t.Partitions
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, topic := range p.graph.Repartitions() {
		if t, ok := p.found[topic]; ok {
			p.count[topic] = t.Partitions
		}
	}
	for p.countBy(readers) || p.countBy(writers) {
	}
	for _, topic := range p.graph.Repartitions() {
		if p.count[topic] == 0 {
			return fmt.Errorf("repartition topic %s: nothing says how many partitions it needs", topic)
		}
	}
	return nil
}

// readers are the topics that a sub-topology reads, writers those that it writes: what countBy may decide.
func readers(sub *graph.SubTopology) []string { return sub.Topics() }
func writers(sub *graph.SubTopology) []string { return sub.Outputs }

// countBy decides what can be decided of the undecided repartition topics, and reports whether that was anything.
func (p *planner) countBy(topics func(*graph.SubTopology) []string) bool {
	decided := make(map[string]int32)
	repartitions := make(map[string]bool)
	for _, t := range p.graph.Repartitions() {
		repartitions[t] = true
	}
	for _, sub := range p.graph.Subs {
		n := p.widest(sub)
		for _, topic := range topics(sub) {
			if n > 0 && repartitions[topic] && p.count[topic] == 0 {
				decided[topic] = max(decided[topic], n)
			}
		}
	}
	for topic, n := range decided {
		p.count[topic] = n
	}
	return len(decided) > 0
}

// widest is the largest number of partitions that is known of the inputs of a sub-topology.
func (p *planner) widest(sub *graph.SubTopology) int32 {
	var n int32
	for _, topic := range sub.Topics() {
		n = max(n, p.count[topic])
	}
	return n
}

// tasks is the number of tasks of a sub-topology. With stores, its inputs must have equally many partitions.
func (p *planner) tasks(sub *graph.SubTopology) (int32, error) {
	n := p.widest(sub)
	for _, in := range sub.Inputs {
		if sub.Stateful() && p.count[in.Topic] != n {
			var have []string
			for _, t := range sub.Topics() {
				have = append(have, fmt.Sprintf("%s has %d", t, p.count[t]))
			}
			return n, fmt.Errorf("sub-topology %d keeps state over topics with different numbers of partitions (%s): records of one key would meet in different tasks; give them the same number, or Rekey the others before the store",
				sub.ID, strings.Join(have, ", "))
		}
	}
	return n, nil
}

// create makes the topics that are the application's own, and sinks that nobody has made.
func (p *planner) create(ctx context.Context, plan *topicPlan) error {
	var errs []error
	create := func(topic string, partitions int32, configs map[string]string) {
		if _, ok := p.found[topic]; ok {
			return
		}
		p.found[topic] = client.Topic{Name: topic, Partitions: partitions}
		err := p.admin.CreateTopic(ctx, topic, partitions, configs)
		if errors.Is(err, client.ErrTopicExists) { // another instance starts at the same time
			err = nil
		}
		errs = append(errs, err)
	}
	for _, topic := range p.graph.Repartitions() {
		create(topic, p.count[topic], map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"})
	}
	for _, sub := range p.graph.Subs {
		for _, s := range sub.Stores {
			create(graph.ChangelogTopic(p.graph.Name, s.Name), plan.tasks[sub.ID], changelog.TopicConfig())
		}
	}
	for _, sub := range p.graph.Subs {
		for _, topic := range sub.Outputs { // repartition topics are there by now
			// Event times may lie far in the past. A topic with Kafka's default retention would drop its records
			// as soon as they are written.
			create(topic, plan.tasks[sub.ID], map[string]string{"retention.ms": "-1"})
		}
	}
	if p.idle {
		create(graph.IdleCloseTopic(p.graph.Name), plan.most(), map[string]string{"cleanup.policy": "delete", "retention.ms": "-1"})
	}
	create(graph.TopologyTopic(p.graph.Name), 1, map[string]string{"cleanup.policy": "compact"})
	create(graph.DeadLetterTopic(p.graph.Name), 1, map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "max.message.bytes": fmt.Sprint(deadLetterBytes),
	})
	return errors.Join(errs...)
}

// takes finds out what the topics that the application writes take.
func (p *planner) takes(ctx context.Context) (map[string]client.Takes, error) {
	topics := []string{graph.DeadLetterTopic(p.graph.Name)}
	for _, sub := range p.graph.Subs {
		topics = append(topics, sub.Outputs...)
		for _, s := range sub.Stores {
			topics = append(topics, graph.ChangelogTopic(p.graph.Name, s.Name))
		}
	}
	slices.Sort(topics)
	return p.admin.Takes(ctx, slices.Compact(topics)...)
}

// lookAgain notes in the plan what the topics take by now, and reports whether that explains why one of them refused records: then
// the tasks know it in time, and whose records these are. Where the cluster refuses what its settings allow, the topic counts as one
// that takes no records at present.
func (a *App) lookAgain(ctx context.Context, plan *topicPlan, refused *client.RecordError) (bool, error) {
	admin, err := client.NewAdmin(a.cluster.conn())
	if err != nil {
		return false, err
	}
	defer admin.Close()
	takes, err := (&planner{graph: a.topology.program.Graph, admin: admin}).takes(ctx)
	if err != nil {
		return false, err
	}
	before := plan.takes[refused.Topic]
	plan.takes = takes
	if now := takes[refused.Topic]; now != before {
		a.cfg.Logger.Warn("a topic refused records, its settings have changed: what does not fit fails its record from now on",
			"topic", refused.Topic, "err", refused.Err, "record_bytes", now.RecordBytes, "record_bytes_before", before.RecordBytes, "only_keyed", now.OnlyKeyed)
		return true, nil
	}
	return a.refusals.note(&client.RefusedError{Topic: refused.Topic, Err: refused}), nil
}
