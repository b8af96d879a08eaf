// Package consumer is the membership of one consumer group of the new protocol
// (KIP-848) as a pure state machine: who its members are, which partitions each is
// meant to have, and which it may use now.
//
// Concepts:
//
//   - A Group takes heartbeats, one at a time, and answers each at once: nobody waits
//     for anybody. Time and the topics of the cluster are arguments. It never reads a
//     clock, starts a goroutine or does I/O, so equal inputs give equal outputs.
//   - The group epoch counts the changes that call for another assignment: members that
//     come and go, subscriptions, topics. The next heartbeat computes the target, by
//     the assignor that most members ask for (uniform or range), and the assignment
//     epoch becomes the group's.
//   - Each member moves towards its target at its own pace: first it gives up what is
//     no longer its (and stays in its epoch until it says so), then it gets what the
//     others have given up. A partition has one holder at a time, from the moment it
//     is handed out to the moment the holder no longer reports it.
//   - The member epoch is what a member has reached. A heartbeat or a commit with
//     another one is fenced, but for the previous one where the answer may be lost.
//   - Changes are records for the topic __consumer_offsets, in Kafka's format. They are
//     kept until the caller reports them Stored, so a failed write loses nothing; what
//     the group answers counts once they are durable.
//   - Deadline is when the group next wants to hear Tick: sessions, and the time that a
//     member may take to give up partitions.
//
// Committed offsets belong to package group, whatever protocol the members speak;
// CheckCommit and CheckFetch say whose are taken and answered.
//
// A Group is not safe for concurrent use: its owner holds a lock or runs a loop.
//
// The rules follow Apache Kafka 4's GroupMetadataManager, CurrentAssignmentBuilder and
// KIP-848, KIP-1251 (commits with an older epoch). Differences on purpose: members of
// the classic protocol cannot join (no online migration); a regular expression is
// resolved at once, not in the background; a static member may join again under the
// id it has, without having left; racks are stored and shown, but, as in Kafka 4, no
// assignor looks at them.
package consumer
