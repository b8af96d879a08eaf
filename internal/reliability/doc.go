// Package reliability says how much the tests of crashes, damage and hostile clients do.
// In a run of make test they do a part of it, so that the suite stays fast; with
// RIFFLE_RELIABILITY=1, as make reliability sets it, all that docs/guarantees.md quotes.
package reliability
