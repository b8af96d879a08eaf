package consumer

import "errors"

// Errors of the protocol. Package broker translates each into the Kafka error code of
// the same name; those that both protocols know are package group's.
var (
	// ErrFencedEpoch means that the member has to give up everything and join again.
	ErrFencedEpoch = errors.New("consumer: fenced member epoch")

	// ErrStaleEpoch means that offsets come with an epoch that is not the member's.
	ErrStaleEpoch = errors.New("consumer: stale member epoch")

	// ErrUnreleasedInstance means that a member that has not left has the instance id.
	ErrUnreleasedInstance = errors.New("consumer: instance id is in use by another member")

	// ErrUnsupportedAssignor means that there is no such assignor.
	ErrUnsupportedAssignor = errors.New("consumer: unsupported assignor")

	// ErrInvalidRegex means that a subscription is not a regular expression of RE2.
	ErrInvalidRegex = errors.New("consumer: invalid regular expression")

	// ErrOldCommit means that a member commits by a version of OffsetCommit that has no
	// member epochs.
	ErrOldCommit = errors.New("consumer: commit without a member epoch")
)
