// Package catalog is what a broker knows about its topics: their names, ids,
// partition counts and configs, and with them the cluster's id.
//
// A Catalog lies in one file that is replaced in one step at each change, so that
// a crash leaves the state before or after it, never between. A change is durable
// when its call returns. Lookups read an immutable copy in memory and take no
// lock.
//
// A topic has a name, which is the user's, and an id, which is drawn at random
// and names its directory (Topic.Dir). A topic that is deleted and created again
// has another id, so that nobody takes the new one for the old.
//
// The tables of configs are here, too (TopicTable, GroupTable): names, types and
// defaults are Kafka's, each with what Riffle makes of it, and TopicConfig is the
// typed view of a topic's. The configs of groups are kept beside the topics, because
// they outlive the groups.
//
// The catalog does not know the directories of topics, let alone the logs in
// them: the broker creates those after Create, removes those after Delete, and
// clears away what a crash left in between.
package catalog
