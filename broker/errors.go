package broker

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// errorCode is the only place where a Go error becomes a Kafka error code. An
// error of package kerr keeps its code, also inside a chain.
//
// Clients take codes that they do not expect for fatal, so what a client can mend
// by trying again must have the code that says so.
func errorCode(err error) int16 {
	if err == nil {
		return 0
	}
	var own *kerr.Error
	if errors.As(err, &own) {
		return own.Code
	}
	if e := groupError(err); e != nil {
		return e.Code
	}
	if e := transactionError(err); e != nil {
		return e.Code
	}
	return kafkaError(err).Code
}

// kafkaError translates the errors of the packages below.
func kafkaError(err error) *kerr.Error {
	var corrupt *commitlog.CorruptError
	is := func(target error) bool { return errors.Is(err, target) }
	switch {
	case is(commitlog.ErrOffsetOutOfRange):
		return kerr.OffsetOutOfRange
	case is(record.ErrCorrupt), is(record.ErrShort), errors.As(err, &corrupt):
		return kerr.CorruptMessage
	case is(record.ErrInvalid):
		return kerr.InvalidRecord
	case is(commitlog.ErrBatchTooLarge):
		return kerr.MessageTooLarge
	case is(producer.ErrOutOfOrderSequence):
		return kerr.OutOfOrderSequenceNumber
	case is(producer.ErrInvalidProducerEpoch):
		return kerr.InvalidProducerEpoch
	case is(commitlog.ErrNoSpace), is(commitlog.ErrFenced), is(commitlog.ErrQuarantined), is(catalog.ErrFenced), vfs.IsNoSpace(err):
		return kerr.KafkaStorageError
	case is(commitlog.ErrClosed):
		return kerr.NotLeaderForPartition // deleted, or stopping: the client looks again
	case is(catalog.ErrTopicExists):
		return kerr.TopicAlreadyExists
	case is(catalog.ErrUnknownTopic):
		return kerr.UnknownTopicOrPartition
	case is(catalog.ErrInvalidName):
		return kerr.InvalidTopicException
	case is(catalog.ErrInvalidPartitions):
		return kerr.InvalidPartitions
	case is(catalog.ErrInvalidConfig):
		return kerr.InvalidConfig
	case is(context.DeadlineExceeded), is(context.Canceled):
		return kerr.RequestTimedOut
	default:
		return kerr.UnknownServerError
	}
}

// errorMessage is the text that goes with a code in responses that have room for
// one; nil without an error.
func errorMessage(err error) *string {
	if err == nil {
		return nil
	}
	text := err.Error()
	return &text
}
