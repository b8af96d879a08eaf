// Package pan keeps card numbers out of everything that is stored, shown or logged.
//
// A card number (PAN) enters at the edge of an application, in a request or a row of a file, and ends there. What goes on is a
// token: a keyed hash (HMAC-SHA-256, PCI DSS 3.5.1.1) with the version of its key, by which payments of one card find each other. For people
// there is the masked form, the first six digits and the last four (PCI DSS 3.4.1).
//
// Concepts:
//
//   - A [PAN] gives its digits to nobody: every way to print, log or encode it yields the masked form.
//   - A [Ring] holds the keys. The newest one makes tokens; older ones stay, so that what they made can still be found.
//   - [Redact] masks what may be a card number in bytes of unknown form, and [Found] looks for one.
//
// A Ring is immutable and, like everything here, safe for concurrent use. The package does not encrypt: a token cannot be turned back.
package pan
