package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/riffle-stream/riffle/broker/quota"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// Config tunes a Broker. The zero value, with Dir or FS set, is a broker that is
// reached by Dial only.
type Config struct {
	// Dir is the directory that holds everything. It is made if it is missing. One
	// broker at a time may use it.
	Dir string
	// FS, if set, is used in place of Dir. Closing it is up to the caller.
	FS vfs.FS

	// NodeID is the broker's id in metadata. The default is 1.
	NodeID int32
	// Listen are the TCP addresses to listen on, [protocol://]host:port; port 0 picks a
	// free one. The protocols are Kafka's security protocols: plaintext, the default,
	// sasl_plaintext, ssl and sasl_ssl. Behind the address of one with TLS may stand
	// what it asks of its clients in place of TLS.ClientAuth:
	// ssl://:9093?ssl.client.auth=required. Empty means none.
	Listen []string
	// Advertise are the addresses that clients are told to connect to, one for each
	// of Listen. Where one is missing or empty it is the address that is listened
	// on or, if that is a wildcard, the one by which the client came.
	Advertise []string
	// AllowPlaintext permits addresses that other machines can reach without
	// encryption or without authentication.
	AllowPlaintext bool
	// SASL tunes how clients of sasl_ listeners prove who they are.
	SASL SASLConfig
	// TLS names the certificates of ssl listeners.
	TLS TLSConfig
	// Quota tunes how quotas are counted; the quotas themselves are set by
	// AlterClientQuotas.
	Quota quota.MeterConfig
	// Authorization tunes who may do what.
	Authorization AuthorizationConfig

	// AutoCreateTopics makes topics when a client asks for their metadata
	// (auto.create.topics.enable). Kafka's default is true, ours false: a mistyped
	// name is an error.
	AutoCreateTopics bool
	// DefaultPartitions is the number of partitions where a client leaves it open
	// (num.partitions). The default is 1.
	DefaultPartitions int32
	// MaxPartitionsPerTopic refuses topics with more partitions. The default is
	// 10,000.
	MaxPartitionsPerTopic int32

	// MaxConnections limits TCP connections, MaxConnectionsPerIP those of one
	// address. The defaults are 1,024 and 64. In-memory connections do not count.
	MaxConnections      int
	MaxConnectionsPerIP int
	// MaxUnauthenticated limits the connections whose clients have not proved yet who
	// they are. The default is 128.
	MaxUnauthenticated int
	// MaxFrameBytes limits Produce and Fetch requests (socket.request.max.bytes),
	// MaxControlFrameBytes all others. The defaults are 100 MiB, as in Kafka, and
	// 1 MiB. Larger ones close the connection. Clients rely on the first: they put
	// batches for many partitions into one request.
	MaxFrameBytes        int
	MaxControlFrameBytes int
	// MaxRequestMemoryBytes limits the bytes of all requests under way; further
	// ones are left in the sockets. The default is a quarter of GOMEMLIMIT, or
	// 256 MiB without one.
	MaxRequestMemoryBytes int64
	// MaxIdleBufferBytes limits the buffers of requests and fetch responses, above 64 KiB
	// each, that are kept for the next ones; those that nobody has used for one or two
	// RetentionIntervals are let go. While it is used, a buffer takes up to twice what its
	// request holds of MaxRequestMemoryBytes. The default is half of that.
	MaxIdleBufferBytes int64
	// MaxDecodeMemoryBytes limits what the requests that are being handled take decoded,
	// all of them together, beyond four times their size and 64 KiB each: long arrays of
	// almost nothing. Further such requests wait up to FrameTimeout, then their
	// connections are closed. The default is 64 MiB.
	MaxDecodeMemoryBytes int64
	// MaxFetchBytes limits the records of one fetch response, whatever the client
	// asks for (fetch.max.bytes). The default is 55 MiB.
	MaxFetchBytes int
	// MaxFetchSessions limits the clients that fetch incrementally
	// (max.incremental.fetch.session.cache.slots), MaxFetchSessionPartitions the
	// partitions of all of them, at about 200 bytes each. Further clients send and get
	// all of theirs with each fetch. The defaults are 1,000 and 100,000.
	MaxFetchSessions          int
	MaxFetchSessionPartitions int
	// MaxFetchMemoryBytes limits the records of all fetch responses that are not
	// written yet; near it, responses become smaller. The default is that of
	// MaxRequestMemoryBytes.
	MaxFetchMemoryBytes int64
	// MaxQueuedRequests is how many requests of one connection are read ahead of
	// the one that is handled. The default is 8.
	MaxQueuedRequests int

	// IdleTimeout ends a connection that sends nothing (connections.max.idle.ms).
	// The default is 10 minutes.
	IdleTimeout time.Duration
	// FrameTimeout ends a connection that does not finish a frame it began. The
	// default is 30 seconds.
	FrameTimeout time.Duration
	// WriteTimeout ends a connection that does not take up to 1 MiB of its answers
	// in that time. The default is 30 seconds.
	WriteTimeout time.Duration

	// HandshakeTimeout ends a connection whose client has not proved by then who it
	// is. The default is 10 seconds.
	HandshakeTimeout time.Duration

	// RetentionInterval is how often old segments are looked for
	// (log.retention.check.interval.ms). The default is 5 minutes.
	RetentionInterval time.Duration

	// Group tunes consumer groups.
	Group GroupConfig
	// Cleaner tunes compaction, and the scrubber that looks for damage.
	Cleaner CleanerConfig

	// Transaction tunes transactions.
	Transaction TransactionConfig

	// Logger gets what happens. The default discards it.
	Logger *slog.Logger
	// Registerer takes the metrics. The default is none.
	Registerer prometheus.Registerer
	// MaxExporterSeries limits the series that are served under the names of
	// kafka_exporter: seven for each partition, two for each partition of a group. The
	// default is 50,000.
	MaxExporterSeries int
}

// GroupConfig tunes consumer groups. The zero value is a working configuration.
type GroupConfig struct {
	// InitialRebalanceDelay is how long the first member of an empty group waits
	// for others (group.initial.rebalance.delay.ms). Kafka's default is 3 seconds,
	// ours 0: an application should start at once.
	InitialRebalanceDelay time.Duration
	// MinSessionTimeout and MaxSessionTimeout bound what members may ask for
	// (group.min.session.timeout.ms, group.max.session.timeout.ms). The defaults
	// are 6 seconds and 30 minutes.
	MinSessionTimeout time.Duration
	MaxSessionTimeout time.Duration
	// ConsumerSessionTimeout is how long a member of the consumer protocol may be
	// silent, ConsumerHeartbeatInterval how often it is to heartbeat
	// (group.consumer.session.timeout.ms, group.consumer.heartbeat.interval.ms). The
	// defaults are 45 seconds and 5 seconds.
	ConsumerSessionTimeout    time.Duration
	ConsumerHeartbeatInterval time.Duration
	// OffsetsRetention is how long the offsets of an empty group are kept, and those
	// of topics that no member subscribes to (offsets.retention.minutes). The default
	// is 7 days.
	OffsetsRetention time.Duration
	// OffsetsCheckInterval is how often such offsets are looked for
	// (offsets.retention.check.interval.ms). The default is 10 minutes.
	OffsetsCheckInterval time.Duration
	// MaxMetadataBytes limits the text that is committed with an offset
	// (offset.metadata.max.bytes). The default is 4,096.
	MaxMetadataBytes int
	// MaxGroups limits the groups of the broker, MaxMembers the members of one
	// group (group.max.size), MaxParked the requests of all groups that wait for a
	// rebalance. The defaults are 10,000, 1,000 and 10,000.
	MaxGroups  int
	MaxMembers int
	MaxParked  int
	// OffsetsPartitions is the number of partitions of __consumer_offsets when it
	// is made (offsets.topic.num.partitions). Kafka's default is 50, to spread
	// groups over brokers; ours is 1, so that the commits of all groups share an
	// fsync.
	OffsetsPartitions int32
}

func (c Config) withDefaults() Config {
	setDefault(&c.NodeID, 1)
	setDefault(&c.DefaultPartitions, 1)
	setDefault(&c.MaxPartitionsPerTopic, 10_000)
	setDefault(&c.MaxConnections, 1024)
	setDefault(&c.MaxConnectionsPerIP, 64)
	setDefault(&c.MaxUnauthenticated, 128)
	setDefault(&c.HandshakeTimeout, 10*time.Second)
	setDefault(&c.MaxFrameBytes, 100<<20)
	setDefault(&c.MaxControlFrameBytes, 1<<20)
	setDefault(&c.MaxRequestMemoryBytes, defaultRequestMemory(debug.SetMemoryLimit(-1), int64(c.MaxFrameBytes)))
	setDefault(&c.MaxFetchMemoryBytes, defaultRequestMemory(debug.SetMemoryLimit(-1), int64(c.MaxFrameBytes)))
	setDefault(&c.MaxIdleBufferBytes, max(c.MaxRequestMemoryBytes/2, 1))
	setDefault(&c.MaxDecodeMemoryBytes, 64<<20)
	setDefault(&c.MaxFetchBytes, 55<<20)
	setDefault(&c.MaxFetchSessions, 1000)
	setDefault(&c.MaxFetchSessionPartitions, 100_000)
	setDefault(&c.MaxQueuedRequests, 8)
	setDefault(&c.MaxExporterSeries, 50_000)
	setDefault(&c.IdleTimeout, 10*time.Minute)
	setDefault(&c.FrameTimeout, 30*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.RetentionInterval, 5*time.Minute)
	c.Group = c.Group.withDefaults()
	c.Cleaner = c.Cleaner.withDefaults()
	c.Transaction = c.Transaction.withDefaults()
	c.SASL = c.SASL.withDefaults()
	c.Quota = c.Quota.WithDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (c GroupConfig) withDefaults() GroupConfig {
	setDefault(&c.MinSessionTimeout, 6*time.Second)
	setDefault(&c.MaxSessionTimeout, 30*time.Minute)
	setDefault(&c.ConsumerSessionTimeout, 45*time.Second)
	setDefault(&c.ConsumerHeartbeatInterval, 5*time.Second)
	setDefault(&c.OffsetsRetention, 7*24*time.Hour)
	setDefault(&c.OffsetsCheckInterval, 10*time.Minute)
	setDefault(&c.MaxMetadataBytes, 4096)
	setDefault(&c.MaxGroups, 10_000)
	setDefault(&c.MaxMembers, 1000)
	setDefault(&c.MaxParked, 10_000)
	setDefault(&c.OffsetsPartitions, 1)
	return c
}

func setDefault[T ~int | ~int32 | ~int64](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// defaultRequestMemory is a quarter of the memory limit, with room for at least
// one frame of the largest size.
func defaultRequestMemory(limit, frame int64) int64 {
	if limit == math.MaxInt64 {
		return max(256<<20, frame)
	}
	return max(limit/4, frame)
}

func (c Config) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("broker: "+format, args...))
		}
	}
	bad(c.Dir == "" && c.FS == nil, "Dir is empty: name the directory that holds the data")
	bad(len(c.Advertise) > len(c.Listen), "Advertise names %d addresses, but Listen only %d", len(c.Advertise), len(c.Listen))
	bad(c.NodeID < 0, "NodeID is %d, must not be negative", c.NodeID)
	for _, f := range []struct {
		name  string
		value int64
	}{
		{"DefaultPartitions", int64(c.DefaultPartitions)},
		{"MaxPartitionsPerTopic", int64(c.MaxPartitionsPerTopic)},
		{"MaxConnections", int64(c.MaxConnections)},
		{"MaxConnectionsPerIP", int64(c.MaxConnectionsPerIP)},
		{"MaxUnauthenticated", int64(c.MaxUnauthenticated)},
		{"Quota.Window", int64(c.Quota.Window)},
		{"Quota.MaxPause", int64(c.Quota.MaxPause)},
		{"Quota.MaxShares", int64(c.Quota.MaxShares)},
		{"HandshakeTimeout", int64(c.HandshakeTimeout)},
		{"MaxFrameBytes", int64(c.MaxFrameBytes)},
		{"MaxControlFrameBytes", int64(c.MaxControlFrameBytes)},
		{"MaxIdleBufferBytes", c.MaxIdleBufferBytes},
		{"MaxDecodeMemoryBytes", c.MaxDecodeMemoryBytes},
		{"MaxFetchBytes", int64(c.MaxFetchBytes)},
		{"MaxFetchSessions", int64(c.MaxFetchSessions)},
		{"MaxFetchSessionPartitions", int64(c.MaxFetchSessionPartitions)},
		{"MaxFetchMemoryBytes", c.MaxFetchMemoryBytes},
		{"MaxQueuedRequests", int64(c.MaxQueuedRequests)},
		{"MaxExporterSeries", int64(c.MaxExporterSeries)},
		{"IdleTimeout", int64(c.IdleTimeout)},
		{"FrameTimeout", int64(c.FrameTimeout)},
		{"WriteTimeout", int64(c.WriteTimeout)},
		{"RetentionInterval", int64(c.RetentionInterval)},
		{"Transaction.MaxTimeout", int64(c.Transaction.MaxTimeout)},
		{"Transaction.CheckInterval", int64(c.Transaction.CheckInterval)},
		{"Transaction.IDExpiry", int64(c.Transaction.IDExpiry)},
		{"Transaction.MaxIDs", int64(c.Transaction.MaxIDs)},
		{"Transaction.Partitions", int64(c.Transaction.Partitions)},
		{"Group.MinSessionTimeout", int64(c.Group.MinSessionTimeout)},
		{"Group.MaxSessionTimeout", int64(c.Group.MaxSessionTimeout)},
		{"Group.ConsumerSessionTimeout", int64(c.Group.ConsumerSessionTimeout)},
		{"Group.ConsumerHeartbeatInterval", int64(c.Group.ConsumerHeartbeatInterval)},
		{"Group.OffsetsRetention", int64(c.Group.OffsetsRetention)},
		{"Group.OffsetsCheckInterval", int64(c.Group.OffsetsCheckInterval)},
		{"Group.MaxMetadataBytes", int64(c.Group.MaxMetadataBytes)},
		{"Group.MaxGroups", int64(c.Group.MaxGroups)},
		{"Group.MaxMembers", int64(c.Group.MaxMembers)},
		{"Group.MaxParked", int64(c.Group.MaxParked)},
		{"Group.OffsetsPartitions", int64(c.Group.OffsetsPartitions)},
	} {
		bad(f.value < 1, "%s is %d, must be at least 1", f.name, f.value)
	}
	bad(c.Group.ConsumerHeartbeatInterval >= c.Group.ConsumerSessionTimeout,
		"Group.ConsumerHeartbeatInterval is %v, must be less than Group.ConsumerSessionTimeout %v", c.Group.ConsumerHeartbeatInterval, c.Group.ConsumerSessionTimeout)
	bad(c.Group.InitialRebalanceDelay < 0, "Group.InitialRebalanceDelay is %v, must not be negative", c.Group.InitialRebalanceDelay)
	bad(c.MaxRequestMemoryBytes < int64(max(c.MaxFrameBytes, c.MaxControlFrameBytes)),
		"MaxRequestMemoryBytes is %d, less than one frame of MaxFrameBytes %d", c.MaxRequestMemoryBytes, c.MaxFrameBytes)
	return errors.Join(append(errs, c.Cleaner.validate(), c.SASL.validate(), c.TLS.validate(c.listensWithTLS()), c.Authorization.validate())...)
}
