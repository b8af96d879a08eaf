package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DeleteTopics: v1-6
//
//   - v4: flexible
//   - v5: error messages
//   - v6: topics by name or by id
//
// Internal topics cannot be deleted.
func handleDeleteTopics(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DeleteTopicsRequest)
	resp := r.ResponseKind().(*kmsg.DeleteTopicsResponse)
	for _, name := range r.TopicNames {
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = &name
		r.Topics = append(r.Topics, rt)
	}
	for _, rt := range r.Topics {
		st := kmsg.NewDeleteTopicsResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		t, err := c.deleteTopic(&rt)
		if t != nil {
			st.Topic, st.TopicID = &t.Name, t.ID
		}
		if err != nil {
			st.ErrorCode = b.metrics.failed(r.Key(), err)
			st.ErrorMessage = errorMessage(err)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

func (c *conn) deleteTopic(rt *kmsg.DeleteTopicsRequestTopic) (*topic, error) {
	byID := rt.TopicID != [16]byte{}
	if byID == (rt.Topic != nil) {
		return nil, fmt.Errorf("%w: name a topic either by name or by id", kerr.InvalidRequest)
	}
	name := ""
	if rt.Topic != nil {
		name = *rt.Topic
	}
	b := c.b
	t, err := c.find(acl.Delete, byID, rt.TopicID, name)
	if err != nil {
		return nil, err
	}
	if t.Internal {
		return t, fmt.Errorf("%w: %q belongs to the broker", kerr.InvalidTopicException, t.Name)
	}
	if err := b.topics.delete(t.Name); err != nil {
		return t, err
	}
	b.groups.topicDeleted(t.Name)
	b.cfg.Logger.Info("broker: topic deleted", "topic", t.Name)
	return t, nil
}
