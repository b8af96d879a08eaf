// Package rulebook holds the rules that people change while payments flow.
//
// A rule is a condition in CEL (https://cel.dev) over one payment, its features and the lists, with an action: approve, review or block.
// [Schema] says what a condition may name; it is checked for types and cost when a rule enters, so a rule that is
// accepted can be evaluated. A [Book] is what is in force: rules, lists and snoozes. It changes by [Change] records, each of which says
// who made it, when and why, and gives a [Decision] for a payment, which names every rule with its version and outcome and explains its
// hits by the value of each sub-expression.
//
// A rule that fails at a payment, by a division by zero or by its cost, has the outcome error for that payment and
// stops nothing.
//
// Nothing here reads a clock or does I/O: the same changes and payments in the same order give the same decisions. A Schema is safe for
// concurrent use; a Book belongs to one task.
package rulebook
