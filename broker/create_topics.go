package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/catalog"
)

// CreateTopics: v2-7
//
//   - v4: -1 partitions and -1 replicas mean the broker's defaults
//   - v5: flexible; the response tells partitions, replicas and configs
//   - v6: no change here (throttling)
//   - v7: topic ids
//
// There is one broker: a replication factor above 1 is refused, and so is an
// assignment to other nodes. Configs are checked as when they are altered.
func handleCreateTopics(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.CreateTopicsRequest)
	resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
	asked := map[string]int{}
	for _, rt := range r.Topics {
		asked[rt.Topic]++
	}
	for _, rt := range r.Topics {
		if asked[rt.Topic] == 0 {
			continue // a repetition, answered once
		}
		st := kmsg.NewCreateTopicsResponseTopic()
		st.Topic = rt.Topic
		var err error
		if asked[rt.Topic] > 1 {
			err = fmt.Errorf("%w: topic %q is named more than once", kerr.InvalidRequest, rt.Topic)
		} else {
			err = c.createTopic(&rt, &st, r.ValidateOnly)
		}
		asked[rt.Topic] = 0
		if err != nil {
			st.ErrorCode = b.metrics.failed(r.Key(), err)
			st.ErrorMessage = errorMessage(err)
			st.NumPartitions, st.ReplicationFactor = -1, -1
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// createTopic makes one topic, or only checks that it could be made.
func (c *conn) createTopic(rt *kmsg.CreateTopicsRequestTopic, st *kmsg.CreateTopicsResponseTopic, validateOnly bool) error {
	b := c.b
	if err := c.mayCreate(rt.Topic); err != nil {
		return err
	}
	partitions, err := b.wantedPartitions(rt)
	if err != nil {
		return err
	}
	configs := map[string]string{}
	for _, c := range rt.Configs {
		if _, twice := configs[c.Name]; twice || c.Value == nil {
			return fmt.Errorf("%w: config %q of topic %q has no value, or two", kerr.InvalidConfig, c.Name, rt.Topic)
		}
		configs[c.Name] = *c.Value
	}
	t := catalog.Topic{Name: rt.Topic, Configs: configs}
	if validateOnly {
		err = b.catalog.Validate(rt.Topic, partitions, configs)
	} else {
		var made *topic
		if made, err = b.topics.create(rt.Topic, partitions, configs); err == nil {
			t = made.Topic
			b.cfg.Logger.Info("broker: topic created", "topic", t.Name, "partitions", partitions, "configs", configs)
		}
	}
	if err != nil {
		return err
	}
	st.TopicID = t.ID
	st.NumPartitions = partitions
	st.ReplicationFactor = 1
	if err := c.authorize(acl.DescribeConfigs, acl.Topic, rt.Topic); err != nil {
		st.ConfigErrorCode = errorCode(err) // what was made, it may not see
		st.NumPartitions, st.ReplicationFactor = -1, -1
		return nil
	}
	for _, v := range t.Describe() {
		sc := kmsg.NewCreateTopicsResponseTopicConfig()
		sc.Name, sc.Value, sc.Source = v.Name, &v.Value, int8(v.Source)
		st.Configs = append(st.Configs, sc)
	}
	return nil
}

// mayCreate says why the client may not make a topic: that takes the permission to
// make any, or this one.
func (c *conn) mayCreate(name string) error {
	if c.may(acl.Create, acl.Cluster, acl.ClusterName) {
		return nil
	}
	return c.authorize(acl.Create, acl.Topic, name)
}

// wantedPartitions is the number of partitions that a request asks for, by number
// or by assignment.
func (b *Broker) wantedPartitions(rt *kmsg.CreateTopicsRequestTopic) (int32, error) {
	n := rt.NumPartitions
	switch {
	case len(rt.ReplicaAssignment) > 0:
		if n != -1 || rt.ReplicationFactor != -1 {
			return 0, fmt.Errorf("%w: topic %q has an assignment of replicas and also numbers", kerr.InvalidRequest, rt.Topic)
		}
		return b.assigned(rt)
	case rt.ReplicationFactor != 1 && rt.ReplicationFactor != -1:
		return 0, fmt.Errorf("%w: topic %q wants %d replicas, but there is one broker: use 1, or -1 for the default",
			kerr.InvalidReplicationFactor, rt.Topic, rt.ReplicationFactor)
	case n == -1:
		return b.cfg.DefaultPartitions, nil
	case n > b.cfg.MaxPartitionsPerTopic:
		return 0, fmt.Errorf("%w: topic %q wants %d partitions, the limit is %d", kerr.InvalidPartitions, rt.Topic, n, b.cfg.MaxPartitionsPerTopic)
	}
	return n, nil
}

// assigned checks that an assignment covers the partitions 0 to n-1 and puts each
// on this broker.
func (b *Broker) assigned(rt *kmsg.CreateTopicsRequestTopic) (int32, error) {
	var errs []error
	seen := map[int32]bool{}
	for _, a := range rt.ReplicaAssignment {
		if len(a.Replicas) != 1 || a.Replicas[0] != b.cfg.NodeID {
			errs = append(errs, errors.New("partition "+strconv.Itoa(int(a.Partition))+" must be on node "+strconv.Itoa(int(b.cfg.NodeID))+" alone"))
		}
		seen[a.Partition] = true
	}
	for i := range int32(len(rt.ReplicaAssignment)) {
		if !seen[i] {
			errs = append(errs, errors.New("partition "+strconv.Itoa(int(i))+" is not assigned"))
		}
	}
	if len(errs) > 0 {
		return 0, fmt.Errorf("%w: topic %q: %w", kerr.InvalidReplicaAssignment, rt.Topic, errors.Join(errs...))
	}
	return int32(len(rt.ReplicaAssignment)), nil
}
