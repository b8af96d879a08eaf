package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Orphans reports whether the group is at rest with partitions of the topics that no member has, and this member is the one to
// ask for a rebalance: the first of all. counts are the numbers of partitions by topic.
func (c *Client) Orphans(ctx context.Context, counts map[string]int32) (bool, error) {
	described, err := c.adm.DescribeGroups(ctx, c.cfg.Group)
	if err == nil {
		err = described.Error()
	}
	if err != nil {
		return false, fmt.Errorf("client: describe group %s: %w", c.cfg.Group, err)
	}
	group := described[c.cfg.Group]
	var members []string
	for _, m := range group.Members {
		members = append(members, m.MemberID)
	}
	self, _ := c.cl.GroupMetadata()
	if group.State != "Stable" || len(members) == 0 || slices.Min(members) != self {
		return false, nil
	}
	return lacks(group.AssignedPartitions(), counts), nil
}

// lacks reports whether a partition is not in the set.
func lacks(assigned kadm.TopicsSet, counts map[string]int32) bool {
	for topic, n := range counts {
		for p := range n {
			if !assigned.Lookup(topic, p) {
				return true
			}
		}
	}
	return false
}

// Rebalance makes this member join its group again, which begins a rebalance.
func (c *Client) Rebalance() { c.cl.ForceRebalance() }
