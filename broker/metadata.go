package broker

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/catalog"
)

// noAuthorizedOperations is what is answered where nobody asked for the operations that
// a client may do.
const noAuthorizedOperations = -1 << 31

// Metadata: v0-13
//
//   - v0: an empty list of topics means all; from v1 null means all, empty none
//   - v1: controller, rack, internal topics
//   - v2: cluster id
//   - v4: AllowAutoTopicCreation; before, it is allowed
//   - v5: offline replicas
//   - v7: leader epoch
//   - v8: authorized operations (v8-10 of the cluster)
//   - v9: flexible
//   - v10: topic ids; v12: topics can be asked for by id
//   - v13: a top-level error: not used
//
// The one broker is the controller, and leader and only replica of all partitions,
// at the address that the listener of the connection advertises.
//
// Of all topics those are left out that the client may not describe; asked for by name
// they are TOPIC_AUTHORIZATION_FAILED, whether they are there or not.
func handleMetadata(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.MetadataRequest)
	resp := r.ResponseKind().(*kmsg.MetadataResponse)

	node := kmsg.NewMetadataResponseBroker()
	node.NodeID = b.cfg.NodeID
	node.Host, node.Port = c.advertised()
	resp.Brokers = append(resp.Brokers, node)
	id := b.catalog.ClusterID()
	resp.ClusterID = &id
	resp.ControllerID = b.cfg.NodeID
	resp.AuthorizedOperations = noAuthorizedOperations
	if r.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = c.clusterOperations()
	}

	if r.Topics == nil || r.Version == 0 && len(r.Topics) == 0 {
		for _, t := range c.described() {
			resp.Topics = append(resp.Topics, c.topicMetadata(r, t))
		}
		return resp, nil
	}
	autoCreate := b.cfg.AutoCreateTopics && (r.Version < 4 || r.AllowAutoTopicCreation)
	seen := map[string]bool{}
	for _, asked := range r.Topics {
		byID := asked.TopicID != [16]byte{}
		name := ""
		if asked.Topic != nil {
			name = *asked.Topic
		}
		if byID && r.Version < 12 {
			st := failedTopic(asked, b.metrics.failed(r.Key(), kerr.InvalidRequest))
			resp.Topics = append(resp.Topics, st)
			continue
		}
		t, err := c.findOrCreate(byID, asked.TopicID, name, autoCreate)
		if err != nil {
			st := failedTopic(asked, b.metrics.failed(r.Key(), err))
			resp.Topics = append(resp.Topics, st)
			continue
		}
		if !seen[t.Name] {
			seen[t.Name] = true
			resp.Topics = append(resp.Topics, c.topicMetadata(r, t))
		}
	}
	return resp, nil
}

// findOrCreate is find, which makes a topic that is asked for by name.
func (c *conn) findOrCreate(byID bool, id [16]byte, name string, create bool) (*topic, error) {
	b := c.b
	t, err := c.find(acl.Describe, byID, id, name)
	if err == nil || byID || errors.Is(err, kerr.TopicAuthorizationFailed) {
		return t, err
	}
	if err := catalog.ValidateName(name); err != nil {
		return nil, err
	}
	if !create {
		return nil, err
	}
	if err := c.mayCreate(name); err != nil {
		return nil, err
	}
	created, cerr := b.topics.create(name, b.cfg.DefaultPartitions, nil)
	if cerr != nil {
		if t, err := b.find(false, id, name); err == nil {
			return t, nil // another connection was faster
		}
		return nil, fmt.Errorf("broker: create topic %q, which a client asked for: %w", name, cerr)
	}
	b.cfg.Logger.Info("broker: topic created because a client asked for it", "topic", name, "partitions", b.cfg.DefaultPartitions)
	return created, nil
}

func failedTopic(asked kmsg.MetadataRequestTopic, code int16) kmsg.MetadataResponseTopic {
	st := kmsg.NewMetadataResponseTopic()
	st.ErrorCode = code
	st.Topic = asked.Topic
	st.TopicID = asked.TopicID
	st.AuthorizedOperations = noAuthorizedOperations
	return st
}

func (c *conn) topicMetadata(r *kmsg.MetadataRequest, t *topic) kmsg.MetadataResponseTopic {
	st := kmsg.NewMetadataResponseTopic()
	st.Topic = &t.Name
	st.TopicID = t.ID
	st.IsInternal = t.Internal
	st.AuthorizedOperations = noAuthorizedOperations
	if r.IncludeTopicAuthorizedOperations {
		st.AuthorizedOperations = c.operations(acl.Topic, t.Name)
	}
	nodes := []int32{c.b.cfg.NodeID}
	for _, p := range t.partitions {
		sp := kmsg.NewMetadataResponseTopicPartition()
		sp.Partition = p.index
		sp.Leader = c.b.cfg.NodeID
		sp.LeaderEpoch = p.log.LeaderEpoch()
		sp.Replicas = nodes
		sp.ISR = nodes
		st.Partitions = append(st.Partitions, sp)
	}
	return st
}
