package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// api is one API key that the broker serves.
type api struct {
	key      int16
	min, max int16 // versions, both included
	handle   handler
}

// handler answers one request. It may wait, for records or for other members of a
// group, until ctx ends: the client is gone, or the broker stops. An error closes
// the connection; what a client can understand is said in the response. A nil
// response is no answer.
//
// The request may be kept: only the records of Produce lie in a buffer that is
// reused once the answer is written.
type handler func(b *Broker, ctx context.Context, c *conn, req kmsg.Request) (kmsg.Response, error)

// apis is the table of what is served. ApiVersions advertises exactly this.
//
// The ranges are Kafka 4.4's, minima included: clients probe them. Produce 0 to 2
// is advertised, as Kafka does since 4.0, because librdkafka before 2.11.1 sends
// everything uncompressed otherwise; such requests are answered with
// UNSUPPORTED_VERSION. JoinGroup starts at 0, because librdkafka before 2.11.0
// takes that for a sign of life. SaslHandshake does for the same reason. ApiVersions ends at 4: version 5 names the node
// that a client expects, which is no use with one node.
func apis() []api {
	return []api{
		{int16(kmsg.Produce), 0, 13, handleProduce},
		{int16(kmsg.Fetch), 4, 18, handleFetch},
		{int16(kmsg.ListOffsets), 1, 11, handleListOffsets},
		{int16(kmsg.Metadata), 0, 13, handleMetadata},
		{int16(kmsg.OffsetCommit), 2, 10, handleOffsetCommit},
		{int16(kmsg.OffsetFetch), 1, 10, handleOffsetFetch},
		{int16(kmsg.FindCoordinator), 0, 6, handleFindCoordinator},
		{int16(kmsg.JoinGroup), 0, 9, handleJoinGroup},
		{int16(kmsg.Heartbeat), 0, 4, handleHeartbeat},
		{int16(kmsg.LeaveGroup), 0, 5, handleLeaveGroup},
		{int16(kmsg.SyncGroup), 0, 5, handleSyncGroup},
		{int16(kmsg.DescribeGroups), 0, 6, handleDescribeGroups},
		{int16(kmsg.ListGroups), 0, 5, handleListGroups},
		{int16(kmsg.ConsumerGroupHeartbeat), 0, 1, handleConsumerGroupHeartbeat},
		{int16(kmsg.ConsumerGroupDescribe), 0, 1, handleConsumerGroupDescribe},
		{int16(kmsg.DeleteGroups), 0, 3, handleDeleteGroups},
		{int16(kmsg.OffsetDelete), 0, 0, handleOffsetDelete},
		{int16(kmsg.SASLHandshake), 0, 1, handleSaslHandshake},
		{int16(kmsg.SASLAuthenticate), 0, 2, handleSaslAuthenticate},
		{int16(kmsg.ApiVersions), 0, 4, handleApiVersions},
		{int16(kmsg.CreateTopics), 2, 7, handleCreateTopics},
		{int16(kmsg.DeleteTopics), 1, 6, handleDeleteTopics},
		{int16(kmsg.DeleteRecords), 0, 2, handleDeleteRecords},
		{int16(kmsg.InitProducerID), 0, 5, handleInitProducerID},
		{int16(kmsg.AddPartitionsToTxn), 0, 5, handleAddPartitionsToTxn},
		{int16(kmsg.AddOffsetsToTxn), 0, 4, handleAddOffsetsToTxn},
		{int16(kmsg.EndTxn), 0, 5, handleEndTxn},
		{int16(kmsg.WriteTxnMarkers), 1, 2, handleWriteTxnMarkers},
		{int16(kmsg.TxnOffsetCommit), 0, 6, handleTxnOffsetCommit},
		{int16(kmsg.DescribeProducers), 0, 0, handleDescribeProducers},
		{int16(kmsg.DescribeTransactions), 0, 0, handleDescribeTransactions},
		{int16(kmsg.ListTransactions), 0, 2, handleListTransactions},
		{int16(kmsg.OffsetForLeaderEpoch), 2, 4, handleOffsetForLeaderEpoch},
		{int16(kmsg.DescribeACLs), 1, 3, handleDescribeACLs},
		{int16(kmsg.CreateACLs), 1, 3, handleCreateACLs},
		{int16(kmsg.DeleteACLs), 1, 3, handleDeleteACLs},
		{int16(kmsg.DescribeConfigs), 1, 4, handleDescribeConfigs},
		{int16(kmsg.AlterConfigs), 0, 2, handleAlterConfigs},
		{int16(kmsg.AlterReplicaLogDirs), 1, 2, handleAlterReplicaLogDirs},
		{int16(kmsg.DescribeLogDirs), 1, 5, handleDescribeLogDirs},
		{int16(kmsg.CreatePartitions), 0, 3, handleCreatePartitions},
		{int16(kmsg.ElectLeaders), 0, 2, handleElectLeaders},
		{int16(kmsg.IncrementalAlterConfigs), 0, 1, handleIncrementalAlterConfigs},
		{int16(kmsg.AlterPartitionAssignments), 0, 1, handleAlterPartitionReassignments},
		{int16(kmsg.ListPartitionReassignments), 0, 0, handleListPartitionReassignments},
		{int16(kmsg.DescribeClientQuotas), 0, 1, handleDescribeClientQuotas},
		{int16(kmsg.AlterClientQuotas), 0, 1, handleAlterClientQuotas},
		{int16(kmsg.DescribeUserSCRAMCredentials), 0, 0, handleDescribeUserScramCredentials},
		{int16(kmsg.AlterUserSCRAMCredentials), 0, 0, handleAlterUserScramCredentials},
		{int16(kmsg.DescribeQuorum), 0, 2, handleDescribeQuorum},
		{int16(kmsg.UpdateFeatures), 0, 2, handleUpdateFeatures},
		{int16(kmsg.DescribeCluster), 0, 2, handleDescribeCluster},
		{int16(kmsg.ListConfigResources), 0, 1, handleListConfigResources},
		{int16(kmsg.DescribeTopicPartitions), 0, 0, handleDescribeTopicPartitions},
	}
}

func apisByKey() map[int16]api {
	m := map[int16]api{}
	for _, a := range apis() {
		m[a.key] = a
	}
	return m
}
