package client

import (
	"errors"
	"fmt"
	"slices"

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

// RecordError means that the cluster refused records for what they are: they are too large for their topic, or have no key where it
// is compacted. Its topic's settings are not those that the application began with, or others bound them.
type RecordError struct {
	Topic string
	Key   []byte // of the first record of the batch
	Bytes int    // of key, value and headers of that record
	Err   error
}

func (e *RecordError) Error() string {
	return fmt.Sprintf("%v: of the batch that begins with the record of key %q, of %d bytes: compare max.message.bytes and cleanup.policy of the topic, and the cluster's message.max.bytes, with what is written",
		e.Err, e.Key[:min(len(e.Key), maxToldBytes)], e.Bytes)
}

func (e *RecordError) Unwrap() error { return e.Err }

// maxToldBytes bounds the part of a key in an error.
const maxToldBytes = 100

// badRecord reports whether the error of a record is about the record, or others of its batch.
func badRecord(err error) bool {
	return isAny(err, kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.InvalidTimestamp)
}

// refusedBy reports whether the error of a record says that its topic takes none.
func refusedBy(err error) bool {
	return isAny(err,
		kerr.TopicAuthorizationFailed, kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException, kerr.PolicyViolation)
}

func isAny(err error, targets ...error) bool {
	return slices.ContainsFunc(targets, func(target error) bool { return errors.Is(err, target) })
}
