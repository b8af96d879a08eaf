// Package deciding says what the desk says of a payment: what is in force, and what that makes of a prepared payment.
//
// A [Book] holds rules, lists, snoozes and models. It changes by [desk.Change] records, is checked by the same code before a change is
// written and when it is applied, and can be put together again from the entries that say when each thing changed last. It reads no
// clock and does no I/O: the same changes and payments in the same order give the same decisions, live, after a restart, and in a
// backtest.
//
// A Book belongs to one task or one goroutine.
package deciding
