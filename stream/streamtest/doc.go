// Package streamtest runs a topology in a test: as one task without a broker, or as an application of several instances
// on a broker in memory.
//
// A [Driver] is for what the topology does with records:
//
//		d := streamtest.New(t, topology)
//		d.Pipe(Payments, "card-1", payment, at)
//		alerts := d.Read(Alerts)
//
//	  - It is the application with one task per sub-topology. What is piped in is processed at once, to the
//	    end: through repartition topics, and through topics that the topology both writes and reads.
//	  - Records go through the serdes, both ways, as they would on a broker.
//	  - Time is event time: the test says it with each record, and moves it without one by [Driver.Advance]. The
//	    wall clock stands still unless [Driver.AdvanceWallClock] moves it.
//	  - [Driver.Restart] drops everything but the stores and the topics, as a restart of the process does.
//
// A [Cluster] is for what crashes, rebalances and partitions do to it:
//
//		synctest.Test(t, func(t *testing.T) {
//			c := streamtest.NewCluster(t, topology, streamtest.ClusterConfig{Instances: 3, Partitions: 4})
//			c.Write(Payments, payments...)
//			c.Crash(1)
//			c.Settle()
//			alerts := c.Read(Alerts)
//		})
//
//	  - Partitions, repartition topics, groups and transactions are the embedded broker's, over connections in memory. The
//	    instances are what runs in production, each with a local state of its own.
//	  - [Cluster.Crash] kills an instance at once, [Cluster.CrashAt] at a named step of a commit; [Cluster.Restart] brings it back
//	    with the state that its last checkpoint left, [Cluster.Lose] without any. [Cluster.Start] and [Cluster.Stop] make the
//	    group rebalance.
//	  - The wall clock is that of the bubble of testing/synctest, which moves when everything waits: timeouts of
//	    half a minute take no time, and a test depends on no machine's speed. [Cluster.Advance] moves it. Outside of a bubble a
//	    Cluster works, in real time.
//	  - [Cluster.Settle] waits until all that was written is processed and committed. [Cluster.Read] returns what is committed.
//
// With both, a record that fails becomes a dead letter, as it would in production. Dead letters that a test does not ask for
// fail it. A Driver or Cluster belongs to the goroutine of its test.
//
// They do not simulate faults of disks or brokers: that is what the tests of the whole system do.
package streamtest
