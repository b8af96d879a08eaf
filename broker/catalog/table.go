package catalog

import "math"

// topicSpecs are the topic configs of Kafka 4, after
// https://kafka.apache.org/documentation/#topicconfigs, and riffle.flush. They
// ascend by name. Names and defaults are served to clients, which read, change
// and write them back as a whole: none may be missing, and each default must be
// a value that is accepted.
//
// Deviations: segment.bytes may be as small as 1024 (Kafka: 1 MiB); configs of
// tiered storage accept only the value that switches it off.
var topicSpecs = []Spec{
	{"cleanup.policy", List, "delete", "What becomes of old records: delete removes whole segments by age and size, compact keeps the last record of each key. Both may be named.", listOf("delete", "compact")},
	{"compression.gzip.level", Int, "-1", "The level of gzip if compression.type is gzip. " + noRecompression, gzipLevels},
	{"compression.lz4.level", Int, "9", "The level of lz4 if compression.type is lz4. " + noRecompression, integers(32, 1, 17)},
	{"compression.type", String, "producer", "The codec of the stored batches. " + noRecompression, oneOf("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer")},
	{"compression.zstd.level", Int, "3", "The level of zstd if compression.type is zstd. " + noRecompression, integers(32, -131072, 22)},
	{"delete.retention.ms", Long, "86400000", "How long compaction keeps a tombstone.", long(0)},
	{"file.delete.delay.ms", Long, "60000", "Accepted; Riffle deletes the files of a segment at once.", long(0)},
	{"flush.messages", Long, maxLong, "Accepted; see riffle.flush.", long(1)},
	{"flush.ms", Long, maxLong, "Accepted; see riffle.flush.", long(0)},
	{"follower.replication.throttled.replicas", List, "", "Accepted only empty: a topic has one replica.", only("", noReplication)},
	{"index.interval.bytes", Int, "4096", "How many bytes of a segment lie between two entries of its offset index.", integer(0)},
	{"leader.replication.throttled.replicas", List, "", "Accepted only empty: a topic has one replica.", only("", noReplication)},
	{"local.retention.bytes", Long, "-2", "Accepted; it has a meaning only with tiered storage.", long(-2)},
	{"local.retention.ms", Long, "-2", "Accepted; it has a meaning only with tiered storage.", long(-2)},
	{"max.compaction.lag.ms", Long, maxLong, "How long a record may stay uncompacted.", long(1)},
	{"max.message.bytes", Int, "1048588", "The largest batch, in bytes as stored.", integer(0)},
	{"message.timestamp.after.max.ms", Long, "3600000", "How far the timestamp of a record may lie after the broker's time.", long(0)},
	{"message.timestamp.before.max.ms", Long, maxLong, "How far the timestamp of a record may lie before the broker's time.", long(0)},
	{"message.timestamp.type", String, "CreateTime", "Whose timestamps the records carry: the producer's or the broker's.", oneOf("CreateTime", "LogAppendTime")},
	{"min.cleanable.dirty.ratio", Double, "0.5", "The part of a log that must be uncompacted before compaction starts.", ratios},
	{"min.compaction.lag.ms", Long, "0", "How long a record stays uncompacted at least.", long(0)},
	{"min.insync.replicas", Int, "1", "How many replicas must have a record for acks=all. A topic has one replica: with more than 1, acks=all is refused.", integer(1)},
	{"preallocate", Boolean, "false", "Accepted; segments grow as they are written.", booleans},
	{"remote.log.copy.disable", Boolean, "false", "Accepted; it has a meaning only with tiered storage.", booleans},
	{"remote.log.delete.on.disable", Boolean, "false", "Accepted; it has a meaning only with tiered storage.", booleans},
	{"remote.storage.enable", Boolean, "false", "Accepted only as false: Riffle has no tiered storage.", only("false", "Riffle has no tiered storage")},
	{"retention.bytes", Long, "-1", "The size of a partition above which its oldest segments are deleted. -1 is no limit.", long(-1)},
	{"retention.ms", Long, "604800000", "The age of a segment's last record at which the segment is deleted. -1 is never.", long(-1)},
	{"riffle.flush", String, "each", "When acks=all is answered: each, after fsync, which batches that arrive together share; os, as soon as the operating system has the bytes, which is what Kafka does.", oneOf("each", "os")},
	{"segment.bytes", Int, "1073741824", "The size at which a segment is sealed.", integer(1024)},
	{"segment.index.bytes", Int, "10485760", "Accepted; indexes grow as they are written.", integer(4)},
	{"segment.jitter.ms", Long, "0", "The random part by which segments are sealed earlier than segment.ms.", long(0)},
	{"segment.ms", Long, "604800000", "The age at which a segment is sealed even if it is not full.", long(1)},
	{"unclean.leader.election.enable", Boolean, "false", "Accepted; a topic has one replica.", booleans},
}

const (
	maxLong         = "9223372036854775807"
	noRecompression = "Accepted; Riffle stores batches as the producer compressed them."
	noReplication   = "a topic has one replica"
)

func integer(least int64) check { return integers(32, least, math.MaxInt32) }
func long(least int64) check    { return integers(64, least, math.MaxInt64) }

// gzipLevels accepts 1 to 9, and -1 for gzip's own default.
func gzipLevels(value string) error {
	if value == "-1" {
		return nil
	}
	return integers(32, 1, 9)(value)
}
