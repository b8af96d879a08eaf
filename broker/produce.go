package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/record"
)

// Produce: v0-13
//
//   - v0-2: advertised, and answered with UNSUPPORTED_VERSION (see apis)
//   - v3: record batches of version 2, one for each partition; transactional id
//   - v5: log start offset in the response
//   - v7: zstd
//   - v8: error messages
//   - v9: flexible
//   - v10: the current leader in the response: not reported, it does not move
//   - v11: TRANSACTION_ABORTABLE where a partition is not part of the transaction
//     (before: INVALID_TXN_STATE)
//   - v12: a transactional batch adds its partition to the transaction (KIP-890)
//   - v13: topic ids in place of names
//
// Batches are stored as they come, compressed as they come. acks=1 is acks=all:
// there is one replica, and both are answered when the records are as durable as
// the topic's riffle.flush says. With acks=0 there is no answer, and an error
// closes the connection.
//
// A transactional batch is appended only while its transaction is open and has the
// partition: a late one would stay undecided for ever (KIP-890).
func handleProduce(b *Broker, ctx context.Context, c *conn, req kmsg.Request) (kmsg.Response, error) {
	r := req.(*kmsg.ProduceRequest)
	resp := &produceResponse{
		ProduceResponse: r.ResponseKind().(*kmsg.ProduceResponse),
		b:               b, acks: r.Acks,
		txn: c.openTransaction(ctx, r),
	}
	defer resp.txn.release()
	for i := range r.Topics {
		rt := &r.Topics[i]
		st := kmsg.NewProduceResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		st.Partitions = make([]kmsg.ProduceResponseTopicPartition, 0, len(rt.Partitions))
		t, err := c.producedTopic(r, rt)
		for j := range rt.Partitions {
			sp := kmsg.NewProduceResponseTopicPartition()
			sp.Partition = rt.Partitions[j].Partition
			sp.BaseOffset, sp.LogStartOffset = -1, -1
			st.Partitions = append(st.Partitions, sp)
			answer := &st.Partitions[j]
			perr := err
			if perr == nil {
				perr = resp.append(r, t, &rt.Partitions[j], answer)
			}
			resp.fail(answer, perr)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, nil
}

// producedTopic finds the topic and checks what concerns all its partitions.
func (c *conn) producedTopic(r *kmsg.ProduceRequest, rt *kmsg.ProduceRequestTopic) (*topic, error) {
	switch {
	case r.Version < 3:
		return nil, kerr.UnsupportedVersion
	case r.Acks < -1 || r.Acks > 1:
		return nil, fmt.Errorf("%w: acks is %d, want -1, 0 or 1", kerr.InvalidRequiredAcks, r.Acks)
	}
	t, err := c.find(acl.Write, r.Version >= 13, rt.TopicID, rt.Topic)
	switch {
	case err != nil:
		return nil, err
	case t.Internal:
		return nil, fmt.Errorf("%w: %q belongs to the broker", kerr.InvalidTopicException, t.Name)
	case r.Acks == -1 && t.cfg.MinInsyncReplicas > 1:
		return nil, fmt.Errorf("%w: %q has min.insync.replicas=%d, but there is one broker", kerr.NotEnoughReplicas, t.Name, t.cfg.MinInsyncReplicas)
	}
	return t, nil
}

// admit checks the records for a partition of t and returns their one batch.
func admit(r *kmsg.ProduceRequest, t *topic, records []byte, now time.Time) (record.Batch, error) {
	const magicAt = 16
	if len(records) > magicAt && records[magicAt] != 2 {
		return nil, fmt.Errorf("%w: magic byte %d; only record batches of version 2 are stored", kerr.InvalidRecord, records[magicAt])
	}
	batch, rest, err := record.Next(records)
	switch {
	case len(records) == 0:
		return nil, fmt.Errorf("%w: no records", kerr.InvalidRecord)
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, fmt.Errorf("%w: more than one batch for a partition", kerr.InvalidRecord)
	case len(batch) > t.cfg.MaxMessageBytes:
		return nil, fmt.Errorf("%w: the batch has %d bytes, max.message.bytes of %q is %d", kerr.MessageTooLarge, len(batch), t.Name, t.cfg.MaxMessageBytes)
	}
	if err := batch.Admit(); err != nil {
		return nil, err
	}
	if batch.Attributes().Codec() == record.Zstd && r.Version < 7 {
		return nil, fmt.Errorf("%w: zstd needs Produce v7", kerr.UnsupportedCompressionType)
	}
	return batch, errors.Join(checkKeys(t, batch), checkTimestamp(t, batch, now))
}

// checkKeys refuses records without a key in a compacted topic: no later record
// could replace them. Compressed batches are not opened when they arrive, unlike in
// Kafka: there such records pass, and the first cleaning removes and counts them.
func checkKeys(t *topic, batch record.Batch) error {
	if !t.cfg.Compact || batch.Attributes().Codec() != record.None {
		return nil
	}
	var keyless keylessError
	for r, err := range batch.Records() {
		switch {
		case err != nil:
			return err
		case r.Key == nil:
			keyless = append(keyless, int32(r.Offset-batch.BaseOffset()))
		}
	}
	if len(keyless) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %w: %q is compacted", kerr.InvalidRecord, keyless, t.Name)
}

// keylessError names the records of a batch that have no key, by their index.
type keylessError []int32

func (e keylessError) Error() string {
	return fmt.Sprintf("%d records have no key, the first is record %d", len(e), e[0])
}

// recordErrors is what the response says about single records (v8).
func (e keylessError) recordErrors() []kmsg.ProduceResponseTopicPartitionErrorRecord {
	var records []kmsg.ProduceResponseTopicPartitionErrorRecord
	text := "the record has no key, and the topic is compacted"
	for _, i := range e {
		r := kmsg.NewProduceResponseTopicPartitionErrorRecord()
		r.RelativeOffset, r.ErrorMessage = i, &text
		records = append(records, r)
	}
	return records
}

// checkTimestamp refuses records from too far in the future or the past
// (message.timestamp.after.max.ms and before.max.ms): one record from the year
// 3000 would keep its segment until then.
func checkTimestamp(t *topic, batch record.Batch, now time.Time) error {
	if t.cfg.LogAppendTime {
		return nil
	}
	ahead, behind := batch.MaxTimestamp()-now.UnixMilli(), now.UnixMilli()-batch.BaseTimestamp()
	switch {
	case t.cfg.TimestampAfter >= 0 && ahead > t.cfg.TimestampAfter.Milliseconds():
		return fmt.Errorf("%w: timestamp %d is %d ms ahead of the broker, message.timestamp.after.max.ms of %q is %d",
			kerr.InvalidTimestamp, batch.MaxTimestamp(), ahead, t.Name, t.cfg.TimestampAfter.Milliseconds())
	case t.cfg.TimestampBefore >= 0 && behind > t.cfg.TimestampBefore.Milliseconds():
		return fmt.Errorf("%w: timestamp %d is %d ms behind the broker, message.timestamp.before.max.ms of %q is %d",
			kerr.InvalidTimestamp, batch.BaseTimestamp(), behind, t.Name, t.cfg.TimestampBefore.Milliseconds())
	}
	return nil
}

// produceResponse is an answer that waits for its records to become durable.
type produceResponse struct {
	*kmsg.ProduceResponse
	b       *Broker
	acks    int16
	txn     *producing // nil outside of a transaction
	failed  error      // the first error, for acks=0
	waiting []appended
}

// appended is a batch whose durability is outstanding.
type appended struct {
	p      *partition
	next   int64
	answer *kmsg.ProduceResponseTopicPartition
	asked  commitlog.Pending
}

// append stores the batch for one partition.
func (resp *produceResponse) append(r *kmsg.ProduceRequest, t *topic, rp *kmsg.ProduceRequestTopicPartition, answer *kmsg.ProduceResponseTopicPartition) error {
	p, err := t.partition(rp.Partition)
	if err != nil {
		return err
	}
	batch, err := admit(r, t, rp.Records, time.Now())
	if err != nil {
		return err
	}
	if err := resp.txn.check(t, rp.Partition, batch); err != nil {
		return err
	}
	appendTo := p.append
	if resp.txn.raises() {
		appendTo = p.appendFromStart
	}
	a, err := appendTo(batch)
	if err != nil {
		if code := errorCode(err); code == kerr.KafkaStorageError.Code || code == kerr.UnknownServerError.Code {
			resp.b.cfg.Logger.Error("broker: records were refused", "partition", p.String(), "cause", err)
		}
		return err
	}
	answer.BaseOffset = a.BaseOffset
	answer.LogAppendTime = a.LogAppendTime
	answer.LogStartOffset = p.startOffset()
	resp.waiting = append(resp.waiting, appended{p: p, next: a.NextOffset, answer: answer})
	return nil
}

// fail notes an error for one partition.
func (resp *produceResponse) fail(answer *kmsg.ProduceResponseTopicPartition, err error) {
	if err == nil {
		return
	}
	answer.ErrorCode = resp.b.metrics.failed(int16(kmsg.Produce), err)
	answer.ErrorMessage = errorMessage(err)
	var keyless keylessError
	if errors.As(err, &keyless) {
		answer.ErrorRecords = keyless.recordErrors()
	}
	answer.BaseOffset, answer.LogAppendTime, answer.LogStartOffset = -1, -1, -1
	if resp.failed == nil {
		resp.failed = err
	}
}

// settle waits until what was appended is durable.
func (resp *produceResponse) settle(ctx context.Context) (answer bool, err error) {
	for i := range resp.waiting {
		a := &resp.waiting[i]
		a.asked = a.p.flush(ctx, a.next)
	}
	for _, a := range resp.waiting {
		resp.fail(a.answer, a.p.flushed(ctx, a.asked))
	}
	if resp.acks != 0 {
		return true, nil
	}
	if resp.failed != nil {
		return false, errors.Join(errNoAnswer, resp.failed)
	}
	return false, nil
}
