package client

import (
	"context"
	"fmt"
	"strings"
)

// addressMark stands in a client id between the name of the application and the address of the instance.
const addressMark = "@"

// clientID is that of an instance. A group tells everyone the client ids of its members, so that is where an instance
// says how it can be reached.
func clientID(group, address string) string {
	if address == "" {
		return group
	}
	return group + addressMark + address
}

// Owner is the instance that a group gave a partition.
type Owner struct {
	Address string // Config.Address of the instance; empty if it has none
	Member  string // the member's id
}

// Owner returns which member of a group owns a partition; false if the group is being rebalanced, or nobody does.
func (a *Admin) Owner(ctx context.Context, group, topic string, partition int32) (Owner, bool, error) {
	groups, err := a.adm.DescribeGroups(ctx, group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return Owner{}, false, fmt.Errorf("client: describe group %s: %w", group, err)
	}
	for _, m := range groups[group].Members {
		assigned, ok := m.Assigned.AsConsumer()
		if !ok {
			continue
		}
		for _, t := range assigned.Topics {
			if t.Topic != topic {
				continue
			}
			for _, p := range t.Partitions {
				if p == partition {
					_, address, _ := strings.Cut(m.ClientID, group+addressMark)
					return Owner{Address: address, Member: m.MemberID}, true, nil
				}
			}
		}
	}
	return Owner{}, false, nil
}
