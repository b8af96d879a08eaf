package broker

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
)

// AlterReplicaLogDirs: v1-2
//
//   - v2: flexible
//
// There is one directory, and all partitions are in it. To move one there is to
// leave it; any other directory is LOG_DIR_NOT_FOUND.
func handleAlterReplicaLogDirs(b *Broker, _ context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.AlterReplicaLogDirsRequest)
	resp := r.ResponseKind().(*kmsg.AlterReplicaLogDirsResponse)
	denied := c.authorizeCluster(acl.Alter)
	for i := range r.Dirs {
		for _, rt := range r.Dirs[i].Topics {
			st := kmsg.NewAlterReplicaLogDirsResponseTopic()
			st.Topic = rt.Topic
			for _, index := range rt.Partitions {
				err := denied
				if err == nil {
					_, err = b.partition(rt.Topic, index)
				}
				if err == nil && r.Dirs[i].Dir != b.logDir() {
					err = kerr.LogDirNotFound
				}
				sp := kmsg.NewAlterReplicaLogDirsResponseTopicPartition()
				sp.Partition, sp.ErrorCode = index, b.metrics.failed(r.Key(), err)
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
	}
	return resp, nil
}
