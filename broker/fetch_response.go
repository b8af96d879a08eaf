package broker

import (
	"encoding/binary"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// joinBytes is the size up to which a fetch response is written in one piece, at
// the price of copying its records once more.
const joinBytes = 16 << 10

// fetchResponse is a response that is written without copying its records: kmsg
// would copy them behind the fields that precede them. The encoding is kmsg's,
// byte for byte.
type fetchResponse struct {
	*kmsg.FetchResponse
	b    *Broker
	buf  []byte // goes back to the pool
	held int    // bytes of Broker.fetches
}

// release gives back what the response holds, once it is written or given up.
func (resp *fetchResponse) release() {
	resp.b.fetches.give(resp.held)
	resp.b.buffers.put(resp.buf)
	resp.held, resp.buf = 0, nil
}

// cut is a place in the encoded fields where records belong.
type cut struct {
	at      int
	records []byte
}

// appendCut appends the response without its records, and says where they belong.
func (resp *fetchResponse) appendCut(dst []byte) ([]byte, []cut) {
	var (
		e    = fetchEncoder{dst: dst, version: resp.Version, flexible: resp.IsFlexible()}
		v    = resp.Version
		cuts []cut
	)
	e.dst = kbin.AppendInt32(e.dst, resp.ThrottleMillis)
	if v >= 7 {
		e.dst = kbin.AppendInt16(e.dst, resp.ErrorCode)
		e.dst = kbin.AppendInt32(e.dst, resp.SessionID)
	}
	e.arrayLen(len(resp.Topics), false)
	for i := range resp.Topics {
		t := &resp.Topics[i]
		e.topicName(t)
		e.arrayLen(len(t.Partitions), false)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			e.partition(p)
			cuts = append(cuts, cut{len(e.dst), p.RecordBatches})
			e.partitionTags(p)
		}
		e.tags()
	}
	e.tags()
	return e.dst, cuts
}

type fetchEncoder struct {
	dst      []byte
	version  int16
	flexible bool
}

func (e *fetchEncoder) topicName(t *kmsg.FetchResponseTopic) {
	switch {
	case e.version >= 13:
		e.dst = kbin.AppendUuid(e.dst, t.TopicID)
	case e.flexible:
		e.dst = kbin.AppendCompactString(e.dst, t.Topic)
	default:
		e.dst = kbin.AppendString(e.dst, t.Topic)
	}
}

// partition appends a partition up to the length of its records.
func (e *fetchEncoder) partition(p *kmsg.FetchResponseTopicPartition) {
	e.dst = kbin.AppendInt32(e.dst, p.Partition)
	e.dst = kbin.AppendInt16(e.dst, p.ErrorCode)
	e.dst = kbin.AppendInt64(e.dst, p.HighWatermark)
	e.dst = kbin.AppendInt64(e.dst, p.LastStableOffset)
	if e.version >= 5 {
		e.dst = kbin.AppendInt64(e.dst, p.LogStartOffset)
	}
	e.arrayLen(len(p.AbortedTransactions), p.AbortedTransactions == nil)
	for _, a := range p.AbortedTransactions {
		e.dst = kbin.AppendInt64(e.dst, a.ProducerID)
		e.dst = kbin.AppendInt64(e.dst, a.FirstOffset)
		e.tags()
	}
	if e.version >= 11 {
		e.dst = kbin.AppendInt32(e.dst, p.PreferredReadReplica)
	}
	if e.flexible {
		e.dst = kbin.AppendUvarint(e.dst, uint32(len(p.RecordBatches))+1)
	} else {
		e.dst = kbin.AppendInt32(e.dst, int32(len(p.RecordBatches)))
	}
}

func (e *fetchEncoder) arrayLen(n int, null bool) {
	if e.flexible {
		e.dst = kbin.AppendCompactNullableArrayLen(e.dst, n, null)
	} else {
		e.dst = kbin.AppendNullableArrayLen(e.dst, n, null)
	}
}

// partitionTags appends the tagged fields of a partition: where the client diverges.
func (e *fetchEncoder) partitionTags(p *kmsg.FetchResponseTopicPartition) {
	if d := p.DivergingEpoch; e.flexible && (d.Epoch != -1 || d.EndOffset != -1) {
		e.dst = append(e.dst, 1, 0, 4+8+1) // one field, its tag and its size
		e.dst = kbin.AppendInt32(e.dst, d.Epoch)
		e.dst = kbin.AppendInt64(e.dst, d.EndOffset)
	}
	e.tags()
}

// tags appends that there are no tagged fields.
func (e *fetchEncoder) tags() {
	if e.flexible {
		e.dst = append(e.dst, 0)
	}
}

// writeFetch writes a response behind its header.
func (c *conn) writeFetch(header []byte, resp *fetchResponse) error {
	defer resp.release()
	fields, cuts := resp.appendCut(header)
	c.keep(fields)
	size := len(fields)
	for _, cut := range cuts {
		size += len(cut.records)
	}
	binary.BigEndian.PutUint32(fields, uint32(size-4))
	if size <= joinBytes {
		joined := make([]byte, 0, size)
		from := 0
		for _, cut := range cuts {
			joined = append(append(joined, fields[from:cut.at]...), cut.records...)
			from = cut.at
		}
		return c.write(append(joined, fields[from:]...))
	}
	var pieces net.Buffers
	from := 0
	for _, cut := range cuts {
		if len(cut.records) > 0 {
			pieces = append(pieces, fields[from:cut.at], cut.records)
			from = cut.at
		}
	}
	return c.writePieces(append(pieces, fields[from:]))
}

// writePieces sends pieces in groups of about writePieceBytes, each under its own
// deadline. On TCP a group is one system call.
func (c *conn) writePieces(pieces net.Buffers) error {
	for len(pieces) > 0 {
		var (
			group net.Buffers
			size  int
		)
		for len(pieces) > 0 && size < writePieceBytes {
			piece := pieces[0]
			if k := writePieceBytes - size; len(piece) > k {
				piece, pieces[0] = piece[:k], piece[k:]
			} else {
				pieces = pieces[1:]
			}
			group = append(group, piece)
			size += len(piece)
		}
		_ = c.nc.SetWriteDeadline(time.Now().Add(c.b.cfg.WriteTimeout))
		n, err := group.WriteTo(c.nc)
		c.b.metrics.sent.Add(float64(n))
		if err != nil {
			return err
		}
	}
	return nil
}
