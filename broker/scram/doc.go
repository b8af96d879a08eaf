// Package scram is the server's side of SCRAM (RFC 5802, RFC 7677) as Kafka speaks
// it (KIP-84): how a password is kept, and how a client proves that it knows it.
//
// A Verifier is all that is kept of a password. Whoever steals it can neither log
// in with it nor read the password from it, only guess: PBKDF2 makes each guess
// cost thousands of hashes.
//
// An Exchange is one login. Messages go in, answers come out; the verifier and the
// network are up to the caller. The nonce is verified and keys are compared in constant
// time. Channel binding is not offered and not accepted, and neither are other
// identities than the user's own.
//
// The package is pure: it reads no clock and does no I/O. Only Salt and Nonce draw from
// the system's random numbers.
package scram
