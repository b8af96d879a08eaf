package broker_test

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/record"
)

// ruledRequests are all requests and what they take, after Kafka's documentation
// ("Operations and Resources on Protocols") and KafkaApis.
func ruledRequests() []ruled {
	rows := producerRequests()
	rows = append(rows, topicRequests()...)
	rows = append(rows, groupRequests()...)
	return append(rows, clusterRequests()...)
}

// of makes the function of a row for requests that differ in nothing but their version.
func of[R kmsg.Request](make func(fx *fixture) R) func(int16, *fixture) kmsg.Request {
	return func(v int16, fx *fixture) kmsg.Request { return at(v, make(fx)) }
}

func strptr(s string) *string { return &s }

func (fx *fixture) produce(topic string, id [16]byte, batch record.Batch) *kmsg.ProduceRequest {
	req := produceRequest(topic, -1, batch)
	req.Topics[0].TopicID = id
	return req
}

func producerRequests() []ruled {
	return []ruled{
		{what: "a topic", needs: []permission{onTopic(acl.Write, "orders")}, changes: true, request: of(func(fx *fixture) *kmsg.ProduceRequest {
			return fx.produce("orders", fx.orders, batch(1, "b"))
		})},
		{what: "in a transaction", needs: []permission{onTopic(acl.Write, "orders"), onTxn(acl.Write)}, changes: true, request: of(func(fx *fixture) *kmsg.ProduceRequest {
			var w record.Builder
			w.Append(1, nil, []byte("b"))
			w.SetProducer(fx.producer, fx.epoch, 0)
			transactional := w.Finish()
			transactional.SetTransactional()
			req := fx.produce("orders", fx.orders, transactional)
			req.TransactionID = strptr("mover")
			return req
		})},
		{what: "idempotent", needs: []permission{onCluster(acl.IdempotentWrite)}, request: func(v int16, _ *fixture) kmsg.Request { return initRequest(v, "") }},
		{what: "transactional", needs: []permission{onTxn(acl.Write)}, changes: true, request: func(v int16, _ *fixture) kmsg.Request { return initRequest(v, "mover") }},
		{
			what: "of a producer", max: 3, needs: []permission{onTxn(acl.Write), onTopic(acl.Write, "orders")}, changes: true,
			request: func(v int16, fx *fixture) kmsg.Request { return fx.addPartitions(v, 1) },
		},
		{
			what: "of a broker", min: 4, max: 5, needs: []permission{onCluster(acl.ClusterAction), onTopic(acl.Write, "orders")}, changes: true,
			request: func(v int16, fx *fixture) kmsg.Request { return fx.addPartitions(v, 1) },
		},
		{needs: []permission{onTxn(acl.Write), onGroup(acl.Read)}, changes: true, request: of(func(fx *fixture) *kmsg.AddOffsetsToTxnRequest {
			req := kmsg.NewPtrAddOffsetsToTxnRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = "mover", fx.producer, fx.epoch, "readers"
			return req
		})},
		{needs: []permission{onTxn(acl.Write)}, changes: true, request: of(func(fx *fixture) *kmsg.EndTxnRequest {
			req := kmsg.NewPtrEndTxnRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = "mover", fx.producer, fx.epoch, true
			return req
		})},
		{needs: []permission{onTxn(acl.Write), onGroup(acl.Read), onTopic(acl.Read, "orders")}, request: of(func(fx *fixture) *kmsg.TxnOffsetCommitRequest {
			req := kmsg.NewPtrTxnOffsetCommitRequest()
			req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Group = "mover", fx.producer, fx.epoch, "readers"
			rt := kmsg.NewTxnOffsetCommitRequestTopic()
			rt.Topic, rt.TopicID = "orders", fx.orders
			rt.Partitions = append(rt.Partitions, kmsg.NewTxnOffsetCommitRequestTopicPartition())
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{what: "as a broker", needs: []permission{onCluster(acl.ClusterAction)}, changes: true, request: of((*fixture).markers)},
		{what: "as an administrator", needs: []permission{onCluster(acl.Alter)}, changes: true, request: of((*fixture).markers)},
		{needs: []permission{onTxn(acl.Describe)}, request: of(func(*fixture) *kmsg.DescribeTransactionsRequest {
			req := kmsg.NewPtrDescribeTransactionsRequest()
			req.TransactionalIDs = []string{"mover"}
			return req
		})},
		{needs: []permission{onTxn(acl.Describe)}, hides: "mover", request: of(func(*fixture) *kmsg.ListTransactionsRequest { return kmsg.NewPtrListTransactionsRequest() })},
		{needs: []permission{onTopic(acl.Read, "orders")}, request: of(func(*fixture) *kmsg.DescribeProducersRequest {
			req := kmsg.NewPtrDescribeProducersRequest()
			rt := kmsg.NewDescribeProducersRequestTopic()
			rt.Topic, rt.Partitions = "orders", []int32{0}
			req.Topics = append(req.Topics, rt)
			return req
		})},
	}
}

// markers writes a marker of a producer that the partition does not know yet.
func (fx *fixture) markers() *kmsg.WriteTxnMarkersRequest {
	req := kmsg.NewPtrWriteTxnMarkersRequest()
	rm := kmsg.NewWriteTxnMarkersRequestMarker()
	rm.ProducerID, rm.ProducerEpoch = fx.producer+1, 1
	rt := kmsg.NewWriteTxnMarkersRequestMarkerTopic()
	rt.Topic, rt.Partitions = "orders", []int32{1}
	rm.Topics = append(rm.Topics, rt)
	req.Markers = append(req.Markers, rm)
	return req
}

func topicRequests() []ruled {
	newTopic := of(func(*fixture) *kmsg.CreateTopicsRequest { return createRequestOf("new") })
	deletion := func(byID bool) func(v int16, fx *fixture) kmsg.Request {
		return func(v int16, fx *fixture) kmsg.Request {
			req := at(v, kmsg.NewPtrDeleteTopicsRequest())
			req.TopicNames = []string{"orders"}
			if rt := kmsg.NewDeleteTopicsRequestTopic(); v >= 6 {
				if rt.Topic = strptr("orders"); byID {
					rt.Topic, rt.TopicID = nil, fx.orders
				}
				req.Topics, req.TopicNames = append(req.Topics, rt), nil
			}
			return req
		}
	}
	configs := func(typ kmsg.ConfigResourceType, name string) func(int16, *fixture) kmsg.Request {
		return of(func(*fixture) *kmsg.DescribeConfigsRequest {
			req := kmsg.NewPtrDescribeConfigsRequest()
			rr := kmsg.NewDescribeConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = typ, name
			req.Resources = append(req.Resources, rr)
			return req
		})
	}
	altered := func(typ kmsg.ConfigResourceType, name string) func(int16, *fixture) kmsg.Request {
		return of(func(*fixture) *kmsg.AlterConfigsRequest {
			req := kmsg.NewPtrAlterConfigsRequest()
			rr := kmsg.NewAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = typ, name
			rc := kmsg.NewAlterConfigsRequestResourceConfig()
			rc.Name, rc.Value = "retention.ms", strptr("12345")
			rr.Configs = append(rr.Configs, rc)
			req.Resources = append(req.Resources, rr)
			return req
		})
	}
	increment := func(typ kmsg.ConfigResourceType, name string) func(int16, *fixture) kmsg.Request {
		return of(func(*fixture) *kmsg.IncrementalAlterConfigsRequest {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			rr := kmsg.NewIncrementalAlterConfigsRequestResource()
			rr.ResourceType, rr.ResourceName = typ, name
			rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			rc.Name, rc.Value = "retention.ms", strptr("12345")
			rr.Configs = append(rr.Configs, rc)
			req.Resources = append(req.Resources, rr)
			return req
		})
	}
	return []ruled{
		{needs: []permission{onTopic(acl.Read, "orders")}, request: of(func(fx *fixture) *kmsg.FetchRequest {
			req := fetchRequest("orders", 0)
			req.Topics[0].TopicID = fx.orders
			return req
		})},
		{needs: []permission{onTopic(acl.Describe, "orders")}, request: of(func(*fixture) *kmsg.ListOffsetsRequest {
			req := kmsg.NewPtrListOffsetsRequest()
			rt := kmsg.NewListOffsetsRequestTopic()
			rt.Topic = "orders"
			rp := kmsg.NewListOffsetsRequestTopicPartition()
			rp.Timestamp = -1
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{needs: []permission{onTopic(acl.Describe, "orders")}, request: of(func(*fixture) *kmsg.OffsetForLeaderEpochRequest {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			rt := kmsg.NewOffsetForLeaderEpochRequestTopic()
			rt.Topic = "orders"
			rt.Partitions = append(rt.Partitions, kmsg.NewOffsetForLeaderEpochRequestTopicPartition())
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{what: "by name", needs: []permission{onTopic(acl.Describe, "orders")}, request: of(func(*fixture) *kmsg.MetadataRequest {
			req := kmsg.NewPtrMetadataRequest()
			rt := kmsg.NewMetadataRequestTopic()
			rt.Topic = strptr("orders")
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{what: "by id", min: 12, max: 13, needs: []permission{onTopic(acl.Describe, "orders")}, hides: "", request: of(func(fx *fixture) *kmsg.MetadataRequest {
			req := kmsg.NewPtrMetadataRequest()
			rt := kmsg.NewMetadataRequestTopic()
			rt.TopicID = fx.orders
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{what: "of all", needs: []permission{onTopic(acl.Describe, "orders")}, hides: "orders", request: of(func(*fixture) *kmsg.MetadataRequest { return kmsg.NewPtrMetadataRequest() })},
		{what: "by name", needs: []permission{onTopic(acl.Describe, "orders")}, request: of(func(*fixture) *kmsg.DescribeTopicPartitionsRequest {
			req := kmsg.NewPtrDescribeTopicPartitionsRequest()
			rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
			rt.Topic = "orders"
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{what: "of all", needs: []permission{onTopic(acl.Describe, "orders")}, hides: "orders", request: of(func(*fixture) *kmsg.DescribeTopicPartitionsRequest {
			return kmsg.NewPtrDescribeTopicPartitionsRequest()
		})},
		{what: "any", needs: []permission{{acl.Create, acl.Cluster, acl.ClusterName, onTopic(acl.Create, "new").code}}, changes: true, max: 4, request: newTopic},
		{what: "this one", needs: []permission{onTopic(acl.Create, "new")}, changes: true, max: 4, request: newTopic},
		{what: "and see its configs", min: 5, max: 7, needs: []permission{onTopic(acl.Create, "new")}, changes: true, request: newTopic},
		{what: "by name", needs: []permission{onTopic(acl.Delete, "orders")}, changes: true, request: deletion(false)},
		{what: "by id", min: 6, max: 6, needs: []permission{onTopic(acl.Delete, "orders")}, changes: true, request: deletion(true)},
		{needs: []permission{onTopic(acl.Delete, "orders")}, changes: true, request: of(func(*fixture) *kmsg.DeleteRecordsRequest {
			req := kmsg.NewPtrDeleteRecordsRequest()
			rt := kmsg.NewDeleteRecordsRequestTopic()
			rt.Topic = "orders"
			rp := kmsg.NewDeleteRecordsRequestTopicPartition()
			rp.Offset = -1
			rt.Partitions = append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{needs: []permission{onTopic(acl.Alter, "orders")}, changes: true, request: of(func(*fixture) *kmsg.CreatePartitionsRequest {
			req := kmsg.NewPtrCreatePartitionsRequest()
			rt := kmsg.NewCreatePartitionsRequestTopic()
			rt.Topic, rt.Count = "orders", 3
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{what: "of a topic", needs: []permission{onTopic(acl.DescribeConfigs, "orders")}, request: configs(kmsg.ConfigResourceTypeTopic, "orders")},
		{what: "of the broker", needs: []permission{onCluster(acl.DescribeConfigs)}, request: configs(kmsg.ConfigResourceTypeBroker, "1")},
		{what: "of a group", needs: []permission{onGroup(acl.DescribeConfigs)}, request: configs(kmsg.ConfigResourceTypeGroupConfig, "readers")},
		{what: "of a topic", needs: []permission{onTopic(acl.AlterConfigs, "orders")}, changes: true, request: altered(kmsg.ConfigResourceTypeTopic, "orders")},
		{what: "of the broker", needs: []permission{onCluster(acl.AlterConfigs)}, request: altered(kmsg.ConfigResourceTypeBroker, "1")},
		{what: "of a group", needs: []permission{onGroup(acl.AlterConfigs)}, request: altered(kmsg.ConfigResourceTypeGroupConfig, "readers")},
		{what: "of a topic", needs: []permission{onTopic(acl.AlterConfigs, "orders")}, changes: true, request: increment(kmsg.ConfigResourceTypeTopic, "orders")},
		{what: "of the broker", needs: []permission{onCluster(acl.AlterConfigs)}, request: increment(kmsg.ConfigResourceTypeBroker, "1")},
		{what: "of a group", needs: []permission{onGroup(acl.AlterConfigs)}, request: increment(kmsg.ConfigResourceTypeGroupConfig, "readers")},
	}
}

func createRequestOf(name string) *kmsg.CreateTopicsRequest {
	req := createRequest(name, 1)
	req.Topics[0].ReplicationFactor = 1
	return req
}

func groupRequests() []ruled {
	coordinator := func(kind int8, key string) func(int16, *fixture) kmsg.Request {
		return of(func(*fixture) *kmsg.FindCoordinatorRequest {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorType, req.CoordinatorKey, req.CoordinatorKeys = kind, key, []string{key}
			return req
		})
	}
	offsets := func(topics bool) func(int16, *fixture) kmsg.Request {
		return of(func(fx *fixture) *kmsg.OffsetFetchRequest {
			req := kmsg.NewPtrOffsetFetchRequest()
			req.Group = "readers"
			rg := kmsg.NewOffsetFetchRequestGroup()
			rg.Group = "readers"
			if topics {
				rt := kmsg.NewOffsetFetchRequestTopic()
				rt.Topic, rt.Partitions = "orders", []int32{0}
				req.Topics = append(req.Topics, rt)
				gt := kmsg.NewOffsetFetchRequestGroupTopic()
				gt.Topic, gt.TopicID, gt.Partitions = "orders", fx.orders, []int32{0}
				rg.Topics = append(rg.Topics, gt)
			}
			req.Groups = append(req.Groups, rg)
			return req
		})
	}
	return []ruled{
		{what: "of a group", needs: []permission{onGroup(acl.Describe)}, request: coordinator(0, "readers")},
		{what: "of a transaction", min: 1, max: 6, needs: []permission{onTxn(acl.Describe)}, request: coordinator(1, "mover")},
		{needs: []permission{onGroup(acl.Read), onTopic(acl.Read, "orders")}, changes: true, request: func(v int16, fx *fixture) kmsg.Request { return fx.offsetCommit(v) }},
		{what: "of topics", needs: []permission{onGroup(acl.Describe), onTopic(acl.Describe, "orders")}, request: offsets(true)},
		{what: "of all", min: 2, max: 10, needs: []permission{onGroup(acl.Describe)}, request: offsets(false)},
		{needs: []permission{onGroup(acl.Read)}, request: of(func(*fixture) *kmsg.JoinGroupRequest {
			req := kmsg.NewPtrJoinGroupRequest()
			req.Group, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = "readers", 10_000, 10_000, "consumer"
			rp := kmsg.NewJoinGroupRequestProtocol()
			rp.Name = "range"
			req.Protocols = append(req.Protocols, rp)
			return req
		})},
		{needs: []permission{onGroup(acl.Read)}, request: of(func(*fixture) *kmsg.SyncGroupRequest {
			req := kmsg.NewPtrSyncGroupRequest()
			req.Group, req.MemberID, req.ProtocolType, req.Protocol = "readers", "m", strptr("consumer"), strptr("range")
			return req
		})},
		{needs: []permission{onGroup(acl.Read)}, request: of(func(*fixture) *kmsg.HeartbeatRequest {
			req := kmsg.NewPtrHeartbeatRequest()
			req.Group, req.MemberID = "readers", "m"
			return req
		})},
		{needs: []permission{onGroup(acl.Read)}, request: of(func(*fixture) *kmsg.LeaveGroupRequest {
			req := kmsg.NewPtrLeaveGroupRequest()
			req.Group, req.MemberID = "readers", "m"
			rm := kmsg.NewLeaveGroupRequestMember()
			rm.MemberID = "m"
			req.Members = append(req.Members, rm)
			return req
		})},
		{needs: []permission{onGroup(acl.Describe)}, request: of(func(*fixture) *kmsg.DescribeGroupsRequest {
			req := kmsg.NewPtrDescribeGroupsRequest()
			req.Groups = []string{"readers"}
			return req
		})},
		{what: "this one", needs: []permission{onGroup(acl.Describe)}, hides: "readers", request: of(func(*fixture) *kmsg.ListGroupsRequest { return kmsg.NewPtrListGroupsRequest() })},
		{what: "all", needs: []permission{onCluster(acl.Describe)}, hides: "readers", request: of(func(*fixture) *kmsg.ListGroupsRequest { return kmsg.NewPtrListGroupsRequest() })},
		{needs: []permission{onGroup(acl.Delete)}, changes: true, request: of(func(*fixture) *kmsg.DeleteGroupsRequest {
			req := kmsg.NewPtrDeleteGroupsRequest()
			req.Groups = []string{"readers"}
			return req
		})},
		{needs: []permission{onGroup(acl.Delete), onTopic(acl.Read, "orders")}, changes: true, request: of(func(*fixture) *kmsg.OffsetDeleteRequest {
			req := kmsg.NewPtrOffsetDeleteRequest()
			req.Group = "readers"
			rt := kmsg.NewOffsetDeleteRequestTopic()
			rt.Topic = "orders"
			rt.Partitions = append(rt.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{needs: []permission{onGroup(acl.Read), onTopic(acl.Describe, "orders")}, changes: true, request: of(func(*fixture) *kmsg.ConsumerGroupHeartbeatRequest {
			req := kmsg.NewPtrConsumerGroupHeartbeatRequest()
			req.Group, req.MemberID, req.RebalanceTimeoutMillis = "readers", "m", 10_000
			req.SubscribedTopicNames = []string{"orders"}
			req.Topics = []kmsg.ConsumerGroupHeartbeatRequestTopic{}
			return req
		})},
		{needs: []permission{onGroup(acl.Describe)}, request: of(func(*fixture) *kmsg.ConsumerGroupDescribeRequest {
			req := kmsg.NewPtrConsumerGroupDescribeRequest()
			req.Groups = []string{"readers"}
			return req
		})},
	}
}

func clusterRequests() []ruled {
	return []ruled{
		{free: true, request: of(func(*fixture) *kmsg.ApiVersionsRequest {
			req := kmsg.NewPtrApiVersionsRequest()
			req.ClientSoftwareName, req.ClientSoftwareVersion = "raw", "1"
			return req
		})},
		{what: "renews a login", free: true, min: 1, max: 1, request: of(func(*fixture) *kmsg.SASLHandshakeRequest { return handshakeRequest(1, "PLAIN") })},
		{login: true, request: of(func(*fixture) *kmsg.SASLAuthenticateRequest { return kmsg.NewPtrSASLAuthenticateRequest() })},
		{free: true, request: of(func(*fixture) *kmsg.DescribeClusterRequest {
			req := kmsg.NewPtrDescribeClusterRequest()
			req.EndpointType, req.IncludeClusterAuthorizedOperations = 1, true
			return req
		})},
		{needs: []permission{onCluster(acl.Describe)}, request: func(v int16, _ *fixture) kmsg.Request { return allACLs(v) }},
		{needs: []permission{onCluster(acl.Alter)}, changes: true, request: of(func(*fixture) *kmsg.CreateACLsRequest {
			req := kmsg.NewPtrCreateACLsRequest()
			req.Creations = append(req.Creations, creation(onTopic(acl.Read, "orders"), "mallory"))
			return req
		})},
		{needs: []permission{onCluster(acl.Alter)}, changes: true, request: of(func(*fixture) *kmsg.DeleteACLsRequest {
			req := kmsg.NewPtrDeleteACLsRequest()
			rf := kmsg.NewDeleteACLsRequestFilter()
			rf.ResourceType, rf.ResourcePatternType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny
			rf.Operation, rf.PermissionType = kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
			req.Filters = append(req.Filters, rf)
			return req
		})},
		{needs: []permission{onCluster(acl.Describe)}, request: of(func(*fixture) *kmsg.DescribeUserSCRAMCredentialsRequest {
			return kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		})},
		{needs: []permission{onCluster(acl.Alter)}, changes: true, request: of(func(*fixture) *kmsg.AlterUserSCRAMCredentialsRequest {
			req := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
			u := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
			u.Name, u.Mechanism, u.Iterations, u.Salt, u.SaltedPassword = alice, 1, 8192, []byte("salt"), make([]byte, 32)
			req.Upsertions = append(req.Upsertions, u)
			return req
		})},
		{needs: []permission{onCluster(acl.DescribeConfigs)}, request: of(func(*fixture) *kmsg.DescribeClientQuotasRequest { return kmsg.NewPtrDescribeClientQuotasRequest() })},
		{needs: []permission{onCluster(acl.AlterConfigs)}, changes: true, request: of(func(*fixture) *kmsg.AlterClientQuotasRequest {
			return alterQuota("producer_byte_rate", 1000, quotaUser(alice))
		})},
		{needs: []permission{onCluster(acl.Describe)}, request: of(func(*fixture) *kmsg.DescribeQuorumRequest { return kmsg.NewPtrDescribeQuorumRequest() })},
		{needs: []permission{onCluster(acl.Alter)}, request: of(func(*fixture) *kmsg.UpdateFeaturesRequest { return kmsg.NewPtrUpdateFeaturesRequest() })},
		{what: "says so", min: 3, max: 5, needs: []permission{onCluster(acl.Describe)}, request: of(func(*fixture) *kmsg.DescribeLogDirsRequest { return kmsg.NewPtrDescribeLogDirsRequest() })},
		{what: "is empty", min: 1, max: 2, needs: []permission{onCluster(acl.Describe)}, hides: "orders", request: of(func(*fixture) *kmsg.DescribeLogDirsRequest { return kmsg.NewPtrDescribeLogDirsRequest() })},
		{needs: []permission{onCluster(acl.Alter)}, request: of(func(*fixture) *kmsg.AlterReplicaLogDirsRequest {
			req := kmsg.NewPtrAlterReplicaLogDirsRequest()
			rd := kmsg.NewAlterReplicaLogDirsRequestDir()
			rt := kmsg.NewAlterReplicaLogDirsRequestDirTopic()
			rt.Topic, rt.Partitions = "orders", []int32{0}
			rd.Dir, rd.Topics = "memory", append(rd.Topics, rt)
			req.Dirs = append(req.Dirs, rd)
			return req
		})},
		{needs: []permission{onCluster(acl.Alter)}, request: of(func(*fixture) *kmsg.ElectLeadersRequest {
			req := kmsg.NewPtrElectLeadersRequest()
			rt := kmsg.NewElectLeadersRequestTopic()
			rt.Topic, rt.Partitions = "orders", []int32{0}
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{needs: []permission{onCluster(acl.Alter)}, request: of(func(*fixture) *kmsg.AlterPartitionAssignmentsRequest {
			req := kmsg.NewPtrAlterPartitionAssignmentsRequest()
			rt := kmsg.NewAlterPartitionAssignmentsRequestTopic()
			rp := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			rp.Replicas = []int32{1}
			rt.Topic, rt.Partitions = "orders", append(rt.Partitions, rp)
			req.Topics = append(req.Topics, rt)
			return req
		})},
		{needs: []permission{onCluster(acl.Describe)}, request: of(func(*fixture) *kmsg.ListPartitionReassignmentsRequest {
			return kmsg.NewPtrListPartitionReassignmentsRequest()
		})},
		{needs: []permission{onCluster(acl.DescribeConfigs)}, request: of(func(*fixture) *kmsg.ListConfigResourcesRequest { return kmsg.NewPtrListConfigResourcesRequest() })},
	}
}
