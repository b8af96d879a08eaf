package broker

import (
	"context"
	"path/filepath"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// DescribeLogDirs: v1-5
//
//   - v2: flexible
//   - v3: a top-level error: not used
//   - v4: size of the volume and what is left of it: only the latter is known
//   - v5: whether the directory takes no new partitions: never
//
// There is one directory. A null list of topics means all; partitions that do not
// exist are left out, as in Kafka. Sizes are those of the segments, without indexes.
func handleDescribeLogDirs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.DescribeLogDirsRequest)
	resp := r.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	if err := c.authorizeCluster(acl.Describe); err != nil {
		resp.ErrorCode = b.metrics.failed(r.Key(), err) // before v3 an empty answer has to say it
		return resp, nil
	}
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = b.logDir()
	dir.TotalBytes, dir.UsableBytes = -1, -1
	free, err := b.fsys.Free()
	if err == nil {
		dir.UsableBytes = int64(free)
	}
	if r.Topics == nil {
		for _, t := range b.topics.all() {
			dir.Topics = append(dir.Topics, describeSizes(t.Name, t.partitions))
		}
	}
	for i := range r.Topics {
		rt := &r.Topics[i]
		var partitions []*partition
		for _, index := range rt.Partitions {
			if p, err := b.partition(rt.Topic, index); err == nil {
				partitions = append(partitions, p)
			}
		}
		if len(partitions) > 0 {
			dir.Topics = append(dir.Topics, describeSizes(rt.Topic, partitions))
		}
	}
	resp.Dirs = append(resp.Dirs, dir)
	return resp, nil
}

func describeSizes(topic string, partitions []*partition) kmsg.DescribeLogDirsResponseDirTopic {
	st := kmsg.NewDescribeLogDirsResponseDirTopic()
	st.Topic = topic
	for _, p := range partitions {
		sp := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
		sp.Partition, sp.Size = p.index, p.log.Size()
		st.Partitions = append(st.Partitions, sp)
	}
	return st
}

// logDir is the broker's directory as its clients are told.
func (b *Broker) logDir() string {
	if b.cfg.FS != nil {
		return "memory"
	}
	if abs, err := filepath.Abs(b.cfg.Dir); err == nil {
		return abs
	}
	return b.cfg.Dir
}
