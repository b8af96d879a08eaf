// Package api is the HTTP API of the fraud desk: payments are submitted and decided while the client waits; alerts, rules, lists, snoozes
// and models are shown and changed.
//
// What is decided is read from the decision log, so what a client hears is in the log. A change is written, and answered when it has
// taken effect in every partition, with the offsets from which it counts. The state of alerts is that of the topic of cases, which a [Board]
// follows. OpenAPI is the description, which the tests hold against the routes and against every exchange.
package api
