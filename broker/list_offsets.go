package broker

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// The timestamps of ListOffsets that are none, and the version each came with.
const (
	offsetLatest          = -1
	offsetEarliest        = -2
	offsetMaxTimestamp    = -3 // v7, KIP-734
	offsetEarliestLocal   = -4 // v8, KIP-405
	offsetLatestTiered    = -5 // v9, KIP-1005
	offsetEarliestPending = -6 // v11, KIP-1023
)

// ListOffsets: v1-11
//
//   - v2: isolation level: with read_committed nothing at or after the last stable
//     offset is found, and that is the latest
//   - v4: leader epochs
//   - v6: flexible
//   - v7, v8, v9, v11: more special timestamps, see above
//   - v10: a timeout, for remote storage
//
// Nothing is tiered: the earliest local offset is the earliest one, and -5 and -6
// find nothing. In a compressed batch, which is not unpacked, a time finds the
// batch's first record, which may be earlier than the time; Kafka unpacks it.
func handleListOffsets(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.ListOffsetsRequest)
	resp := r.ResponseKind().(*kmsg.ListOffsetsResponse)
	type place struct {
		topic     string
		partition int32
	}
	asked := map[place]int{}
	for _, rt := range r.Topics {
		for _, rp := range rt.Partitions {
			asked[place{rt.Topic, rp.Partition}]++
		}
	}
	for _, rt := range r.Topics {
		st := kmsg.NewListOffsetsResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewListOffsetsResponseTopicPartition()
			sp.Partition = rp.Partition
			var err error
			if asked[place{rt.Topic, rp.Partition}] > 1 {
				err = fmt.Errorf("%w: partition %d of %q is named more than once", kerr.InvalidRequest, rp.Partition, rt.Topic)
			} else {
				err = c.listOffset(r, rt.Topic, &rp, &sp)
			}
			if err != nil {
				sp.ErrorCode = b.metrics.failed(r.Key(), err)
				sp.Offset, sp.Timestamp, sp.LeaderEpoch = -1, -1, -1
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// listOffset fills in one answer. What is not found keeps the defaults, -1, and is
// no error.
func (c *conn) listOffset(r *kmsg.ListOffsetsRequest, topic string, rp *kmsg.ListOffsetsRequestTopicPartition, sp *kmsg.ListOffsetsResponseTopicPartition) error {
	p, err := c.partition(acl.Describe, topic, rp.Partition)
	if err != nil {
		return err
	}
	if err := p.checkEpoch(rp.CurrentLeaderEpoch); err != nil {
		return err
	}
	version, end := r.Version, p.highWatermark
	if r.IsolationLevel == readCommitted {
		end = p.lastStableOffset
	}
	since := map[int64]int16{offsetMaxTimestamp: 7, offsetEarliestLocal: 8, offsetLatestTiered: 9, offsetEarliestPending: 11}[rp.Timestamp]
	if version < since || rp.Timestamp < offsetEarliestPending {
		return fmt.Errorf("%w: ListOffsets v%d for time %d", kerr.UnsupportedVersion, version, rp.Timestamp)
	}
	answer := func(offset, timestamp int64) {
		sp.Offset, sp.Timestamp, sp.LeaderEpoch = offset, timestamp, p.log.LeaderEpochAt(offset)
	}
	switch rp.Timestamp {
	case offsetLatest:
		answer(end(), -1)
		return nil
	case offsetEarliest, offsetEarliestLocal:
		answer(p.startOffset(), -1)
		return nil
	case offsetLatestTiered, offsetEarliestPending:
		return nil
	}
	var (
		offset, timestamp int64
		found             bool
	)
	if rp.Timestamp == offsetMaxTimestamp {
		offset, timestamp, found, err = p.log.MaxTimestamp()
	} else {
		offset, timestamp, found, err = p.log.OffsetForTime(rp.Timestamp)
	}
	if err == nil && found && offset < end() {
		answer(offset, timestamp)
	}
	return err
}
