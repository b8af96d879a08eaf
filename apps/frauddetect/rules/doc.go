// Package rules decides which payments are suspicious.
//
// Concepts:
//
//   - Rules are the thresholds of three rules: an amount above a limit, an amount far above the mean of the card's own last
//     30 days, and a burst of payments within ten minutes.
//   - A History is what is remembered of a card: the time, amount and offset of its recent payments, in some eight bytes each.
//   - An Alert says which rule fired, the values it saw, and the records that made it fire.
//
// Windows are exact and half-open, (t-w, t]: a payment that is w old does not count, one of the same moment that came
// earlier does. Everything is in integer cents and milliseconds, so equal payments in equal order give equal alerts.
//
// The package is pure: no clock, no I/O, no stream. It deliberately reads no fraud label.
package rules
