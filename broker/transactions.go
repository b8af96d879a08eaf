package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/producer"
	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/broker/txn"
)

// transactionsTopic is the internal topic that holds the transactional ids.
const transactionsTopic = "__transaction_state"

// transactionsTopicConfigs are Kafka's for the topic.
func transactionsTopicConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy":    "compact",
		"segment.bytes":     "104857600",
		"max.message.bytes": "33554432",
	}
}

// transactions is the transaction coordinator: it owns the transactional ids, whose
// rules package txn states. It makes what they become durable in __transaction_state,
// writes the markers, and ends transactions that take too long.
//
// A transactional id is used by one request at a time, which holds its turn while it
// waits for the disk: a transactional id is one producer, and does one thing after the
// other. So a batch that was found to belong to an open transaction is appended before
// the transaction can end.
//
// A turn is taken before the lock of a group, and never two turns at once.
type transactions struct {
	b      *Broker
	cfg    TransactionConfig
	logger *slog.Logger

	loop   sync.WaitGroup
	ctx    context.Context // ends with stop
	cancel context.CancelFunc
	wake   chan struct{} // tells run of the first transactional id

	creating sync.Mutex // of the topic
	mu       struct {
		sync.Mutex
		state coordinatorState
		logs  []*partition // of __transaction_state; nil until somebody needs it
		ids   map[string]*transactional
		full  bool // said that there are too many
	}
}

// transactional is a transactional id.
type transactional struct {
	log  *partition
	turn chan struct{} // holds one token while nobody uses the id

	// The following belong to the holder of the turn.
	txn  txn.Txn
	gone bool // forgotten: look the id up again
	// offsets are the partitions of __consumer_offsets that the last transaction wrote to.
	offsets []txn.Partition

	shown atomic.Pointer[txn.Txn] // what was last stored, for those who only look
}

func newTransactions(b *Broker) *transactions {
	ts := &transactions{b: b, cfg: b.cfg.Transaction, logger: b.cfg.Logger, wake: make(chan struct{}, 1)}
	ts.ctx, ts.cancel = context.WithCancel(context.Background())
	ts.mu.ids = map[string]*transactional{}
	return ts
}

// start loads the transactional ids, if there are any, and begins to end what takes
// too long. If loading takes longer than patience it goes on in the background.
func (ts *transactions) start() error {
	if t, ok := ts.b.topics.lookup(transactionsTopic); ok {
		ts.mu.logs = t.partitions
	}
	loaded := make(chan struct{})
	ts.loop.Go(func() {
		ts.load()
		close(loaded)
		ts.run()
	})
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-loaded:
	case <-late.C:
	}
	return nil
}

func (ts *transactions) stop() {
	ts.mu.Lock()
	ts.mu.state = coordinatorStopped
	ts.mu.Unlock()
	ts.cancel()
	ts.loop.Wait()
}

// newTransactional is a transactional id whose turn is free.
func newTransactional(log *partition, t txn.Txn) *transactional {
	x := &transactional{log: log, turn: make(chan struct{}, 1), txn: t}
	x.shown.Store(&t)
	x.turn <- struct{}{}
	return x
}

// errNoTransactionalID means that there is no such transactional id, and the request
// does not make one.
var errNoTransactionalID = fmt.Errorf("broker: no such transactional id: %w", kerr.InvalidProducerIDMapping)

// lock waits for the turn of a transactional id. If there is none it returns
// errNoTransactionalID, or makes one if create is set. The caller calls unlock.
func (ts *transactions) lock(ctx context.Context, id string, create bool) (*transactional, error) {
	for {
		x, err := ts.find(id, create)
		if err != nil {
			return nil, err
		}
		resume := pause(ctx)
		select {
		case <-x.turn:
			resume()
		case <-ctx.Done():
			return nil, kerr.CoordinatorNotAvailable
		case <-ts.ctx.Done():
			return nil, kerr.CoordinatorNotAvailable
		}
		if !x.gone {
			return x, nil
		}
		x.turn <- struct{}{}
	}
}

func (ts *transactions) find(id string, create bool) (*transactional, error) {
	if id == "" || len(id) > math.MaxInt16 {
		return nil, fmt.Errorf("%w: a transactional id of %d bytes", kerr.InvalidRequest, len(id))
	}
	if create {
		if err := ts.ensureTopic(); err != nil {
			return nil, err
		}
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	x, ok := ts.mu.ids[id]
	switch {
	case ts.mu.state == coordinatorLoading:
		return nil, kerr.CoordinatorLoadInProgress
	case ts.mu.state == coordinatorStopped:
		return nil, kerr.CoordinatorNotAvailable
	case ok:
		return x, nil
	case !create:
		return nil, errNoTransactionalID
	case len(ts.mu.ids) >= ts.cfg.MaxIDs:
		if !ts.mu.full {
			ts.mu.full = true
			ts.logger.Warn("broker: transactional ids are refused, there are as many as allowed: raise Transaction.MaxIDs",
				"id", id, "limit", ts.cfg.MaxIDs)
		}
		return nil, kerr.PolicyViolation
	}
	x = newTransactional(ts.mu.logs[offsetsPartition(id, len(ts.mu.logs))], txn.New(id))
	ts.mu.ids[id] = x
	select {
	case ts.wake <- struct{}{}:
	default:
	}
	return x, nil
}

// ensureTopic makes __transaction_state when the first producer comes that needs it.
func (ts *transactions) ensureTopic() error {
	ts.creating.Lock()
	defer ts.creating.Unlock()
	ts.mu.Lock()
	made := ts.mu.logs != nil || ts.mu.state != coordinatorReady
	ts.mu.Unlock()
	if made {
		return nil
	}
	logs, err := ts.b.internalTopic(transactionsTopic, ts.cfg.Partitions, transactionsTopicConfigs())
	if err != nil {
		ts.logger.Error("broker: transactions are not available", "cause", err)
		return fmt.Errorf("%w: %w", kerr.CoordinatorNotAvailable, err)
	}
	ts.mu.Lock()
	ts.mu.logs = logs
	ts.mu.Unlock()
	return nil
}

// unlock gives the turn back. An id that nothing is stored of is forgotten, so that
// mistaken requests leave nothing behind.
func (ts *transactions) unlock(x *transactional) {
	if !x.gone && (x.txn.ProducerID == txn.NoID || x.txn.State == txn.Dead) {
		x.gone = true
		ts.mu.Lock()
		delete(ts.mu.ids, x.txn.ID)
		ts.mu.Unlock()
	}
	x.turn <- struct{}{}
}

// store makes next the state of the transactional id, in the log first.
func (ts *transactions) store(ctx context.Context, x *transactional, next txn.Txn) error {
	end, err := ts.append(x, next)
	if err == nil {
		err = x.log.wait(ts.b.hard(ctx), end)
	}
	if err != nil {
		ts.logger.Error("broker: a transaction's change was not stored", "id", next.ID, "state", next.State.String(), "cause", err)
		return fmt.Errorf("%w: %w", kerr.CoordinatorNotAvailable, err)
	}
	x.set(next)
	return nil
}

func (ts *transactions) append(x *transactional, next txn.Txn) (end int64, err error) {
	r := next.Record()
	var b record.Builder
	b.Append(time.Now().UnixMilli(), r.Key, r.Value)
	a, err := x.log.append(b.Finish())
	return a.NextOffset, err
}

func (x *transactional) set(next txn.Txn) {
	x.txn = next
	x.shown.Store(&next)
}

// init handles InitProducerId for a transactional id.
func (ts *transactions) init(ctx context.Context, id string, r txn.InitRequest) (txn.Producer, error) {
	r.MaxTimeout = ts.cfg.MaxTimeout
	x, err := ts.lock(ctx, id, true)
	if err != nil {
		return txn.Producer{}, err
	}
	defer ts.unlock(x)
	next, changed, err := x.txn.Init(time.Now(), r, ts.b.pids.next)
	if !changed {
		return next.Current(), err
	}
	if serr := ts.store(ctx, x, next); serr != nil {
		return txn.Producer{}, serr
	}
	if next.Preparing() {
		ts.finish(ctx, x) // the client comes again: the error says so
	}
	return next.Current(), err
}

// add handles AddPartitionsToTxn and AddOffsetsToTxn.
func (ts *transactions) add(ctx context.Context, id string, p txn.Producer, version txn.Version, partitions []txn.Partition) error {
	x, err := ts.lock(ctx, id, false)
	if err != nil {
		return err
	}
	defer ts.unlock(x)
	return ts.addTo(ctx, x, p, version, partitions)
}

// verify reports, for each partition that a producer may not write to, why.
func (ts *transactions) verify(ctx context.Context, id string, p txn.Producer, partitions []txn.Partition) (map[txn.Partition]error, error) {
	x, err := ts.lock(ctx, id, false)
	if err != nil {
		return nil, err
	}
	defer ts.unlock(x)
	refused := map[txn.Partition]error{}
	for _, at := range partitions {
		if err := x.txn.Verify(p, at); err != nil {
			refused[at] = err
		}
	}
	return refused, nil
}

// addTo is add for who holds the turn. A transaction that begins gets those partitions of __consumer_offsets
// that the last one wrote to, so that offsets, which mostly come at the end, need not be waited for
// twice. If none come, a marker is written there for nothing.
func (ts *transactions) addTo(ctx context.Context, x *transactional, p txn.Producer, version txn.Version, partitions []txn.Partition) error {
	begins := version >= txn.TV2 && x.txn.State != txn.Ongoing
	if begins {
		partitions = append(slices.Clip(partitions), x.offsets...)
	}
	next, changed, err := x.txn.Add(time.Now(), p, version, partitions)
	if err != nil || !changed {
		return err
	}
	if begins {
		x.offsets = nil
	}
	return ts.store(ctx, x, next)
}

// addOffsets is addTo for a partition of __consumer_offsets.
func (ts *transactions) addOffsets(ctx context.Context, x *transactional, p txn.Producer, at txn.Partition) error {
	if err := ts.addTo(ctx, x, p, txn.TV2, []txn.Partition{at}); err != nil {
		return err
	}
	if !slices.Contains(x.offsets, at) {
		x.offsets = append(x.offsets, at)
	}
	return nil
}

// end handles EndTxn. Once the outcome is stored it is final, and the client is told
// so, even if a marker cannot be written yet.
func (ts *transactions) end(ctx context.Context, id string, p txn.Producer, commit bool, version txn.Version) (txn.Producer, error) {
	x, err := ts.lock(ctx, id, false)
	if err != nil {
		return txn.Producer{}, err
	}
	defer ts.unlock(x)
	next, changed, err := x.txn.End(time.Now(), p, commit, version, ts.b.pids.next)
	if err != nil {
		return txn.Producer{}, err
	}
	if changed {
		if err := ts.store(ctx, x, next); err != nil {
			return txn.Producer{}, err
		}
		ts.finish(ctx, x)
	}
	current := x.txn.Current()
	if next := x.txn.NextID; next != txn.NoID { // markers are outstanding
		current = txn.Producer{ID: next, Epoch: 0}
	}
	return current, nil
}

// finish writes the markers of a transaction whose outcome is decided. What fails is
// tried again by run.
func (ts *transactions) finish(ctx context.Context, x *transactional) {
	if err := ts.writeMarkers(ctx, x.txn); err != nil {
		ts.logger.Error("broker: the end of a transaction is not written everywhere yet", "id", x.txn.ID, "state", x.txn.State.String(), "cause", err)
		return
	}
	next, err := x.txn.Complete(time.Now())
	if err == nil {
		// Nobody waits for this to be durable: what follows stands behind it in the
		// log, and if it is lost the markers are written once more.
		_, err = ts.append(x, next)
	}
	if err != nil {
		ts.logger.Error("broker: a transaction's change was not stored", "id", x.txn.ID, "cause", err)
		return
	}
	x.set(next)
}

// writeMarkers returns when the markers of all partitions are durable.
func (ts *transactions) writeMarkers(ctx context.Context, t txn.Txn) error {
	m := t.Marker()
	marker := producer.Marker{ID: m.ID, Epoch: m.Epoch, Commit: m.Commit, Raised: m.Raised}
	var waits []func() error
	var errs []error
	for _, at := range t.Partitions {
		wait, err := ts.b.writeMarker(ctx, at.Topic, at.Index, marker)
		if err != nil {
			errs = append(errs, err)
		} else if wait != nil {
			waits = append(waits, wait)
		}
	}
	for _, wait := range waits {
		errs = append(errs, wait())
	}
	return errors.Join(errs...)
}

// writeMarker appends a marker to a partition. wait returns when it is durable and,
// where the partition holds offsets of groups, applied. A partition that is gone needs
// no marker; nor does one where a newer producer with the same id has written.
func (b *Broker) writeMarker(ctx context.Context, topic string, index int32, m producer.Marker) (wait func() error, err error) {
	if topic == offsetsTopic {
		return b.groups.endTransaction(ctx, index, m)
	}
	p, err := b.partition(topic, index)
	if err != nil {
		return nil, nil
	}
	a, err := p.appendMarker(m)
	switch {
	case errors.Is(err, commitlog.ErrClosed):
		if _, alive := b.topics.lookupID(p.topic().ID); !alive {
			return nil, nil
		}
		return nil, err
	case errors.Is(err, producer.ErrInvalidProducerEpoch):
		b.cfg.Logger.Warn("broker: a marker was overtaken by a newer producer", "partition", p.String(), "cause", err)
		return nil, nil
	case err != nil:
		return nil, err
	}
	asked := p.flush(b.hard(ctx), a.NextOffset)
	return func() error { return p.flushed(b.hard(ctx), asked) }, nil
}

// run ends what takes too long, and tries again what failed. It sleeps as long as
// there are no transactional ids.
func (ts *transactions) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for waiting := true; ; {
		select {
		case <-ts.ctx.Done():
			return
		case <-ts.wake:
		case <-timer.C:
			ts.check(time.Now())
			waiting = false
		}
		if !waiting && len(ts.all()) > 0 {
			timer.Reset(ts.cfg.CheckInterval)
			waiting = true
		}
	}
}

func (ts *transactions) check(now time.Time) {
	for _, x := range ts.all() {
		shown := x.shown.Load()
		deadline := shown.Deadline(ts.cfg.IDExpiry)
		if due := !deadline.IsZero() && !deadline.After(now); due || shown.Preparing() {
			ts.checkOne(shown.ID, now)
		}
	}
}

func (ts *transactions) checkOne(id string, now time.Time) {
	x, err := ts.lock(ts.ctx, id, false)
	if err != nil {
		return // gone meanwhile, or stopping
	}
	defer ts.unlock(x)
	if x.txn.Preparing() {
		ts.finish(ts.ctx, x)
		return
	}
	next, changed := x.txn.Tick(now, ts.cfg.IDExpiry)
	if !changed || ts.store(ts.ctx, x, next) != nil {
		return
	}
	if next.Preparing() {
		ts.logger.Info("broker: a transaction took too long and is aborted", "id", id, "timeout", next.Timeout)
		ts.finish(ts.ctx, x)
	}
}

// all returns the transactional ids, sorted by name.
func (ts *transactions) all() []*transactional {
	ts.mu.Lock()
	all := make([]*transactional, 0, len(ts.mu.ids))
	for _, x := range ts.mu.ids {
		all = append(all, x)
	}
	ts.mu.Unlock()
	slices.SortFunc(all, func(a, b *transactional) int { return strings.Compare(a.shown.Load().ID, b.shown.Load().ID) })
	return all
}

// show calls f with each transactional id as it was last stored.
func (ts *transactions) show(f func(txn.Txn)) error {
	ts.mu.Lock()
	state := ts.mu.state
	ts.mu.Unlock()
	switch state {
	case coordinatorLoading:
		return kerr.CoordinatorLoadInProgress
	case coordinatorStopped:
		return kerr.CoordinatorNotAvailable
	}
	for _, x := range ts.all() {
		if t := x.shown.Load(); t.ProducerID != txn.NoID {
			f(*t)
		}
	}
	return nil
}

// transactionError translates the errors of package txn; nil for any other.
func transactionError(err error) *kerr.Error {
	for _, known := range []struct {
		err  error
		code *kerr.Error
	}{
		{txn.ErrProducerFenced, kerr.ProducerFenced},
		{txn.ErrProducerIDMapping, kerr.InvalidProducerIDMapping},
		{txn.ErrConcurrent, kerr.ConcurrentTransactions},
		{txn.ErrInvalidState, kerr.InvalidTxnState},
		{txn.ErrInvalidTimeout, kerr.InvalidTransactionTimeout},
		{txn.ErrNotAdded, kerr.InvalidTxnState},
		{producer.ErrOpenTransaction, kerr.InvalidTxnState},
	} {
		if errors.Is(err, known.err) {
			return known.code
		}
	}
	return nil
}

// beforeFenced gives the error of a fenced producer the code that a request of an
// older version knows.
func beforeFenced(err error, version, since int16) error {
	if version < since && errorCode(err) == kerr.ProducerFenced.Code {
		return fmt.Errorf("%w: %w", kerr.InvalidProducerEpoch, err)
	}
	return err
}
