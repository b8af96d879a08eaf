// Package desk is what the parts of the fraud desk tell each other: its topics, and the records in them.
//
// Concepts:
//
//   - [Transactions] and [Labels] come in. The topology makes an [Input] of each payment, which has its features, and writes it
//     to [Inputs]: the log of everything that decides, in the order in which it decides. From it comes a [Decision] for each payment in
//     [Decisions], and an [Alert] in [Alerts] for each that is not simply approved.
//   - People change rules, lists, snoozes and models by a [Change] in [Changes]. The topology copies each change into every partition of
//     Inputs, so that each task switches at one offset, which [Applied] tells.
//   - An alert is a [Case], whose status people change by an [AlertChange] in [AlertChanges]; [Cases] has the present state of each. A
//     case that is confirmed or dismissed becomes a label.
//
// Cards are opaque here: what stands in Card is never a card number in clear. The records are values; the
// package has no goroutines. What is in force, and what it says of a payment, is in package deciding.
package desk
