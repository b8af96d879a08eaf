// Package worker drives the tasks of one application instance: it polls, hands batches to tasks, runs the tasks
// in parallel, commits, and follows the group when partitions come and go.
//
// Concepts:
//
//   - A round is: poll, give each task its batches, run the tasks that have records on up to Workers goroutines,
//     commit when it is due, let the group rebalance. A task is run by one goroutine at a time; in a round they take turns.
//   - A committer makes what the tasks did since the last commit permanent, and only then the stores fold their open
//     writes. The usual one is exactly-once: outputs, changelogs and offsets of all tasks in one transaction. The other
//     is at-least-once: one after the other. State and input position move together in either case, in the
//     changelog's marker.
//   - What a task writes to a topic that another task of the instance reads is handed over to it within the round (loopback),
//     so that a chain of sub-topologies is one commit. See docs/decisions/0017-a-chain-is-one-commit.md.
//   - A commit that does not come about, or of which nobody knows, is rewound: the tasks are dropped and opened again
//     where the last one left them.
//   - A standby is the state of a task that another instance runs, kept up to date beside the loop, and handed over when
//     the task is opened here.
//   - A task is opened when its partitions are assigned: its stores are brought up to the changelog, and its
//     inputs resume where the state stands, or at the group's offsets if those are further.
//
// One goroutine runs the loop. The callbacks of the group run on another one, but never between a poll and the
// end of its round; what they share with the loop beyond that is under Worker.mu.
//
// What it deliberately does not do: it knows no types, no operators and no topic administration, and reads no
// record. Package stream wires it to both.
package worker
