package group

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerProtocol is the protocol type of consumers. Only its metadata is ever
// read here; any other protocol's is opaque.
const consumerProtocol = "consumer"

// subscribedTopics are the topics that a consumer's metadata asks for.
func subscribedTopics(metadata []byte) (topics []string, ok bool) {
	m := kmsg.NewConsumerMemberMetadata()
	if err := m.ReadFrom(metadata); err != nil {
		return nil, false
	}
	return m.Topics, true
}

func equalSets(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
