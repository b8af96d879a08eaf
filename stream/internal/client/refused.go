package client

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
)

// RefusedError means that the cluster takes no records for a topic. It concerns the topic, not this client: what is written to
// other topics arrives.
type RefusedError struct {
	Topic string
	Err   error
}

func (e *RefusedError) Error() string {
	return e.Err.Error()
}

func (e *RefusedError) Unwrap() error { return e.Err }

// refusedBy reports whether the error of a record says that its topic takes none.
func refusedBy(err error) bool {
	for _, target := range []error{
		kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException, kerr.PolicyViolation,
	} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}
