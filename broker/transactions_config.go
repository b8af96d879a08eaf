package broker

import "time"

// TransactionConfig tunes transactions. The zero value is a working configuration.
type TransactionConfig struct {
	// MaxTimeout bounds how long clients may let a transaction take
	// (transaction.max.timeout.ms). The default is 15 minutes.
	MaxTimeout time.Duration
	// CheckInterval is how often transactions are looked for that take too long
	// (transaction.abort.timed.out.transaction.cleanup.interval.ms). The default is a
	// second; Kafka's is ten.
	CheckInterval time.Duration
	// IDExpiry is how long a transactional id that nobody uses is remembered
	// (transactional.id.expiration.ms). The default is 7 days.
	IDExpiry time.Duration
	// MaxIDs limits the transactional ids of the broker. The default is 10,000.
	MaxIDs int
	// Partitions is the number of partitions of __transaction_state when it is made
	// (transaction.state.log.num.partitions). Kafka's default is 50; ours is 1, so
	// that all transactions share an fsync.
	Partitions int32
}

func (c TransactionConfig) withDefaults() TransactionConfig {
	setDefault(&c.MaxTimeout, 15*time.Minute)
	setDefault(&c.CheckInterval, time.Second)
	setDefault(&c.IDExpiry, 7*24*time.Hour)
	setDefault(&c.MaxIDs, 10_000)
	setDefault(&c.Partitions, 1)
	return c
}
