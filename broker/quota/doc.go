// Package quota decides how fast a client may produce and fetch, and how much of the
// broker's time it may take, as Kafka does (KIP-13, KIP-55, KIP-124, KIP-257).
//
// A Table holds limits in bytes a second, or in percent of a thread's time, each for an Entity: a user, a client id, a
// user with a client id, or the default of one of them. For a client the most
// specific entity that has a limit counts; all clients that it covers by name share
// it, and each that it covers by default has it for itself.
//
// A Meter counts what clients do. A client may save up what it does not use, for the
// length of a window; what it does beyond is a debt, and it has to pause until that is
// paid off. Answers are given at once, and the pause comes after.
//
// The package is pure: time goes in with each call. A Table does not change; a Meter is
// not safe for concurrent use.
package quota
