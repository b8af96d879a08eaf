package group

import "errors"

// Errors of the group protocol. Package broker translates each into the Kafka
// error code of the same name.
var (
	// ErrUnknownMember means that the member id does not belong to the group.
	ErrUnknownMember = errors.New("group: unknown member id")

	// ErrFencedInstance means that another member has taken over the instance id.
	ErrFencedInstance = errors.New("group: instance id belongs to a newer member")

	// ErrIllegalGeneration means that the generation is not the group's.
	ErrIllegalGeneration = errors.New("group: illegal generation")

	// ErrRebalanceInProgress means that the member has to join again.
	ErrRebalanceInProgress = errors.New("group: rebalance in progress")

	// ErrInconsistentProtocol means that the group and the member share no protocol.
	ErrInconsistentProtocol = errors.New("group: inconsistent protocol")

	// ErrMemberIDRequired means that the member has to join again with the id
	// that comes with the error.
	ErrMemberIDRequired = errors.New("group: member id required")

	// ErrFull means that the group has as many members as it may have.
	ErrFull = errors.New("group: the group has reached its maximum size")

	// ErrInvalidSessionTimeout means that the session timeout is outside the
	// configured range.
	ErrInvalidSessionTimeout = errors.New("group: session timeout is outside the allowed range")

	// ErrInvalidRequest means that a field is longer than a record can hold.
	ErrInvalidRequest = errors.New("group: invalid request")

	// ErrMetadataTooLarge means that the metadata of an offset is too long.
	ErrMetadataTooLarge = errors.New("group: offset metadata is too large")

	// ErrNotStored means that a change of the group did not become durable.
	ErrNotStored = errors.New("group: change was not stored")
)
