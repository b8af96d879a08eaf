// Package streamtest runs a topology in a test: without a broker, on stores in memory.
//
//	d := streamtest.New(t, topology)
//	d.Pipe(Payments, "card-1", payment, at)
//	alerts := d.Read(Alerts)
//
// Concepts:
//
//   - A [Driver] is the application with one task per sub-topology. What is piped in is processed at once, to the
//     end: through repartition topics, and through topics that the topology both writes and reads.
//   - Records go through the serdes, both ways, as they would on a broker.
//   - Time is event time: the test says it with each record, and moves it without one by [Driver.Advance]. There is no
//     wall clock.
//   - A record that fails becomes a dead letter, as it would in production. Dead letters that a test does not ask for
//     fail it.
//   - [Driver.Restart] drops everything but the stores and the topics, as a restart of the process does.
//
// A Driver belongs to the goroutine of its test. It does not simulate several partitions, rebalances, crashes or
// faults: that is what the tests of the whole system do.
package streamtest
