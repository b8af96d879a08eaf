package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// CreatePartitions: v0-3
//
//   - v1: no change here (throttling)
//   - v2: flexible
//   - v3: THROTTLING_QUOTA_EXCEEDED: not used
//
// A topic's partitions can become more, never fewer. An assignment, where there is
// one, names this broker for each new partition. Internal topics keep theirs: which
// partition holds a group depends on how many there are.
func handleCreatePartitions(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.CreatePartitionsRequest)
	resp := r.ResponseKind().(*kmsg.CreatePartitionsResponse)
	asked := map[string]int{}
	for _, rt := range r.Topics {
		asked[rt.Topic]++
	}
	for i := range r.Topics {
		rt := &r.Topics[i]
		times := asked[rt.Topic]
		if asked[rt.Topic] = 0; times == 0 {
			continue // a repetition, answered once
		}
		st := kmsg.NewCreatePartitionsResponseTopic()
		st.Topic = rt.Topic
		err := c.growTopic(rt, times, r.ValidateOnly)
		if err != nil {
			st.ErrorCode = b.metrics.failed(r.Key(), err)
			st.ErrorMessage = errorMessage(err)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// growTopic adds partitions to one topic, or only checks that it could be done.
func (c *conn) growTopic(rt *kmsg.CreatePartitionsRequestTopic, times int, validateOnly bool) error {
	if times > 1 {
		return fmt.Errorf("%w: topic %q is named more than once", kerr.InvalidRequest, rt.Topic)
	}
	b := c.b
	t, err := c.find(acl.Alter, false, [16]byte{}, rt.Topic)
	if err != nil {
		return err
	}
	if t.Internal {
		return fmt.Errorf("%w: %q belongs to the broker", kerr.InvalidTopicException, rt.Topic)
	}
	if rt.Count > b.cfg.MaxPartitionsPerTopic {
		return fmt.Errorf("%w: topic %q is to have %d partitions, the limit is %d", kerr.InvalidPartitions, rt.Topic, rt.Count, b.cfg.MaxPartitionsPerTopic)
	}
	if err := b.catalog.ValidatePartitions(rt.Topic, rt.Count); err != nil {
		return err
	}
	if err := b.checkNewReplicas(rt, rt.Count-t.Partitions); err != nil || validateOnly {
		return err
	}
	if err := b.topics.grow(rt.Topic, rt.Count); err != nil {
		return err
	}
	b.cfg.Logger.Info("broker: partitions added", "topic", rt.Topic, "before", t.Partitions, "now", rt.Count)
	return nil
}

// checkNewReplicas checks that an assignment, where there is one, puts each of the
// new partitions on this broker.
func (b *Broker) checkNewReplicas(rt *kmsg.CreatePartitionsRequestTopic, added int32) error {
	if rt.Assignment == nil {
		return nil
	}
	if len(rt.Assignment) != int(added) {
		return fmt.Errorf("%w: topic %q gets %d new partitions, but %d are assigned", kerr.InvalidReplicaAssignment, rt.Topic, added, len(rt.Assignment))
	}
	for i, a := range rt.Assignment {
		if len(a.Replicas) != 1 || a.Replicas[0] != b.cfg.NodeID {
			return fmt.Errorf("%w: new partition %d of topic %q must be on node %d alone, not on %v",
				kerr.InvalidReplicaAssignment, i, rt.Topic, b.cfg.NodeID, a.Replicas)
		}
	}
	return nil
}
