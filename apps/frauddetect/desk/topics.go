package desk

import (
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/payment"
	"github.com/riffle-stream/riffle/serde"
	"github.com/riffle-stream/riffle/stream"
)

var (
	// Transactions are the payments, keyed by card.
	Transactions = stream.NewTopic("transactions", serde.String, serde.Avro[payment.Transaction]()).EventTime(payment.Transaction.At)
	// Labels tell what payments were, keyed by card. Their event time is the record's: anything up to when they are known, as a label never
	// counts before that, and must not move time ahead of payments that are on their way.
	Labels = stream.NewTopic("labels", serde.String, serde.Avro[payment.Label]())

	// Changes are what people change, keyed by [Change.Key]. One partition: changes have one order. Compacted.
	Changes = stream.NewTopic("desk-changes", serde.String, serde.JSON[Change]())
	// Applied tells what came of each change in each partition of Inputs, keyed by the change's ID.
	Applied = stream.NewTopic("desk-applied", serde.String, serde.JSON[Application]())

	// InForce is what is in force, keyed by [Change.Key], as the first partition of Inputs has it. Compacted; a null value is no longer
	// in force.
	InForce = stream.NewTopic("desk-in-force", serde.String, serde.JSON[*Entry]())

	// Inputs are keyed by card; changes by one of [PartitionKeys].
	Inputs = stream.NewTopic("decision-inputs", serde.String, serde.Binary[Input]()).EventTime(Input.At)
	// Decisions are the decision log, keyed by card.
	Decisions = stream.NewTopic("decisions", serde.String, decisionSerde())
	// Conflicts are payments that came under the id of another one, keyed by card. They are not decided.
	Conflicts = stream.NewTopic("conflicts", serde.String, serde.JSON[Decision]())

	// Alerts are the decisions that somebody should look at, keyed by card.
	Alerts = stream.NewTopic("desk-alerts", serde.String, serde.JSON[Alert]())
	// AlertChanges are what people do with alerts, keyed by card.
	AlertChanges = stream.NewTopic("desk-alert-changes", serde.String, serde.JSON[AlertChange]())
	// Cases have the present state of each alert, keyed by its ID. Compacted.
	Cases = stream.NewTopic("desk-cases", serde.String, serde.JSON[Case]())
)

// historyKept is how long changes that were overtaken stay: as long as a backtest may go back.
const historyKept = 90 * 24 * time.Hour

// Definition says how a topic is made.
type Definition struct {
	Name       string
	Partitions int
	Settings   map[string]string // in Kafka's names
}

// Definitions are all topics, with so many partitions where their number is free.
func Definitions(partitions int) []Definition {
	forever := map[string]string{"retention.ms": "-1"} // event times may lie in the past
	compacted := map[string]string{"cleanup.policy": "compact", "min.compaction.lag.ms": milliseconds(historyKept)}
	latest := map[string]string{"cleanup.policy": "compact"}
	return []Definition{
		{Transactions.Name, partitions, forever},
		{Labels.Name, partitions, forever},
		{Changes.Name, 1, compacted},
		{Applied.Name, 1, forever},
		{InForce.Name, 1, latest},
		{Inputs.Name, partitions, forever},
		{Decisions.Name, partitions, forever},
		{Conflicts.Name, partitions, forever},
		{Alerts.Name, partitions, forever},
		{AlertChanges.Name, partitions, forever},
		{Cases.Name, partitions, latest},
	}
}
