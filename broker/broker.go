package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/riffle-stream/riffle/broker/access"
	"github.com/riffle-stream/riffle/broker/catalog"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/quota"
	"github.com/riffle-stream/riffle/broker/scram"
	"github.com/riffle-stream/riffle/internal/memnet"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// maxHashing limits the passwords that are checked at a time: each costs milliseconds
// of a processor, and those who ask have not proved yet who they are.
const maxHashing = 8

// lockFile is held for as long as a broker uses its directory.
const lockFile = "LOCK"

// Broker is a running broker. Its methods may be called concurrently.
type Broker struct {
	cfg      Config // with defaults; immutable, as is all that follows
	fsys     vfs.FS
	catalog  *catalog.Catalog
	flusher  *commitlog.Flusher
	topics   *topics
	groups   *coordinator
	txns     *transactions
	pids     producerIDs
	sessions *fetchSessions
	metrics  *metrics
	cleaner  *cleaner
	apis     map[int16]api

	access      *access.Store
	authorizes  bool // ACLs are asked for
	logins      *logins
	hashing     *semaphore.Weighted // passwords that are checked at a time
	decoySecret []byte              // see scram.Decoy
	meter       meter               // of quotas

	memory       *semaphore.Weighted // bytes of requests under way
	decodeMemory *semaphore.Weighted // see Config.MaxDecodeMemoryBytes
	fetches      fetchMemory         // bytes of fetch responses under way
	buffers      bufferPool
	conns        connections

	memoryListener *listener
	listeners      []*listener // TCP

	// ctx ends when Stop begins: waiting for something to happen is over. hardCtx
	// ends when Stop may not wait any longer: waiting for the disk is over, too.
	ctx      context.Context
	cancel   context.CancelFunc
	hardCtx  context.Context
	hardStop context.CancelFunc

	loops   sync.WaitGroup // accept, retention, compaction and scrubbing
	closers []closer       // what was opened, in order
	stop    sync.Once
	stopErr error
}

// closer undoes one step of opening.
type closer func() error

// Start opens the directory, recovers what a crash left behind, and serves. It
// returns an error that names the remedy if the directory or a port is in use, the
// directory is not a broker's or a newer release's, or an address would be open to
// other machines (see Config.AllowPlaintext).
func Start(cfg Config) (*Broker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b := &Broker{
		cfg:            cfg,
		apis:           apisByKey(),
		metrics:        newMetrics(),
		memory:         semaphore.NewWeighted(cfg.MaxRequestMemoryBytes),
		buffers:        bufferPool{limit: cfg.MaxIdleBufferBytes},
		decodeMemory:   semaphore.NewWeighted(cfg.MaxDecodeMemoryBytes),
		memoryListener: memoryListener(cfg.SASL),
		sessions:       newFetchSessions(cfg),
		logins:         newLogins(cfg.SASL.MaxLoginsPerSecond),
		hashing:        semaphore.NewWeighted(maxHashing),
		decoySecret:    scram.Salt(),
		authorizes:     cfg.authorizes(),
		meter:          meter{meter: quota.NewMeter(cfg.Quota)},
	}
	b.fetches.limit = cfg.MaxFetchMemoryBytes
	b.conns = connections{
		maxTotal: cfg.MaxConnections, maxPerIP: cfg.MaxConnectionsPerIP, maxUnauthenticated: cfg.MaxUnauthenticated,
		all: map[*conn]struct{}{}, perIP: map[string]int{},
	}
	b.cleaner = newCleaner(b)
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.hardCtx, b.hardStop = context.WithCancel(context.Background())
	if err := b.open(); err != nil {
		b.cancel()
		b.hardStop()
		return nil, errors.Join(err, b.close())
	}
	b.run()
	return b, nil
}

// open takes what the broker needs, in order; each step says how it is undone. The
// ports come first: whether they are free shows at once, the logs may take time.
func (b *Broker) open() (err error) {
	if b.listeners, err = listen(b.ctx, b.cfg); err != nil {
		return err
	}
	b.undo(func() error { closeListeners(b.listeners); return b.memoryListener.Close() })
	if err := b.openDir(); err != nil {
		return err
	}
	lock, err := b.fsys.Lock(lockFile)
	if errors.Is(err, vfs.ErrLocked) {
		return fmt.Errorf("broker: %s is in use by another broker: stop it, or give this one a directory of its own: %w", b.dirName(), err)
	}
	if err != nil {
		return fmt.Errorf("broker: lock %s: %w", b.dirName(), err)
	}
	b.undo(lock.Close)
	if b.catalog, err = catalog.Open(b.fsys); err != nil {
		return fmt.Errorf("broker: open %s: %w", b.dirName(), err)
	}
	b.pids.catalog = b.catalog
	if b.access, err = access.Open(b.fsys); err != nil {
		return fmt.Errorf("broker: open %s: %w", b.dirName(), err)
	}
	if err := b.makeUsers(); err != nil {
		return err
	}
	b.warnWithoutAdministrator()
	journal, err := commitlog.OpenJournal(b.fsys, commitlog.JournalConfig{Logger: b.cfg.Logger})
	if err != nil {
		return fmt.Errorf("broker: open %s: %w", b.dirName(), err)
	}
	b.undo(journal.Close)
	b.flusher = commitlog.NewFlusher(commitlog.FlusherConfig{
		Journal: journal, FlushedFunc: b.metrics.flushed, Logger: b.cfg.Logger,
	})
	b.undo(func() error { b.flusher.Close(); return nil })
	if b.topics, err = openTopics(b); err != nil {
		return err
	}
	b.undo(b.topics.close)
	b.groups = newCoordinator(b)
	if err := b.groups.start(); err != nil {
		return err
	}
	b.undo(func() error { b.groups.stop(); return nil })
	b.txns = newTransactions(b)
	if err := b.txns.start(); err != nil {
		return err
	}
	b.undo(func() error { b.txns.stop(); return nil })
	return b.register()
}

func (b *Broker) openDir() error {
	if b.cfg.FS != nil {
		b.fsys = b.cfg.FS
		return nil
	}
	dir, err := vfs.OpenDir(b.cfg.Dir)
	if err != nil {
		return fmt.Errorf("broker: open %s: %w", b.cfg.Dir, err)
	}
	b.fsys = dir
	b.undo(dir.Close)
	return nil
}

func (b *Broker) dirName() string {
	if b.cfg.FS != nil {
		return "the file system that was given"
	}
	return b.cfg.Dir
}

// register hands the metrics to the registry until the broker stops: an
// application may start one after the other.
func (b *Broker) register() error {
	if b.cfg.Registerer == nil {
		return nil
	}
	for _, c := range b.metrics.collectors(b) {
		if err := b.cfg.Registerer.Register(c); err != nil {
			return fmt.Errorf("broker: register metrics: %w", err)
		}
		b.undo(func() error { b.cfg.Registerer.Unregister(c); return nil })
	}
	return nil
}

func (b *Broker) undo(c closer) { b.closers = append(b.closers, c) }

// close undoes what open did, last step first.
func (b *Broker) close() error {
	var errs []error
	for len(b.closers) > 0 {
		last := len(b.closers) - 1
		errs = append(errs, b.closers[last]())
		b.closers = b.closers[:last]
	}
	return errors.Join(errs...)
}

// run starts the loops.
func (b *Broker) run() {
	for _, l := range append([]*listener{b.memoryListener}, b.listeners...) {
		b.loops.Go(func() { b.acceptLoop(l) })
	}
	b.loops.Go(b.retentionLoop)
	b.loops.Go(b.cleaner.run)
	b.loops.Go(b.cleaner.scrub)
	for _, l := range b.listeners {
		b.cfg.Logger.Info("broker: listening", "address", l.name)
	}
}

// retentionLoop deletes old segments from time to time, and lets go of buffers that
// nobody needs any more.
func (b *Broker) retentionLoop() {
	tick := time.NewTicker(b.cfg.RetentionInterval)
	defer tick.Stop()
	for {
		select {
		case <-b.ctx.Done():
			return
		case now := <-tick.C:
			b.retain(now)
			b.buffers.age()
		}
	}
}

func (b *Broker) retain(now time.Time) {
	for _, t := range b.topics.all() {
		for _, p := range t.partitions {
			deleted, err := p.log.Retain(now)
			b.metrics.retained.Add(float64(deleted))
			if err != nil && !errors.Is(err, commitlog.ErrClosed) {
				b.cfg.Logger.Error("broker: retention", "partition", p.String(), "cause", err)
			}
		}
	}
}

// Dial connects in memory. The connection ends with the broker.
func (b *Broker) Dial(ctx context.Context) (net.Conn, error) {
	nc, err := b.memoryListener.Listener.(*memnet.Listener).Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("broker: %w", err)
	}
	return nc, nil
}

// Addr is the address of the first TCP listener, or empty if there is none.
func (b *Broker) Addr() string {
	if len(b.listeners) == 0 {
		return ""
	}
	return b.listeners[0].name
}

// Addrs are the addresses of the TCP listeners, in the order of Config.Listen.
func (b *Broker) Addrs() []string {
	var addrs []string
	for _, l := range b.listeners {
		addrs = append(addrs, l.name)
	}
	return addrs
}

// Stop ends the broker: it takes no more connections and requests, finishes those
// under way, flushes and closes the logs. When ctx ends first, connections are cut,
// but the logs are still closed in order. Stop may be called more than once.
func (b *Broker) Stop(ctx context.Context) error {
	b.stop.Do(func() { b.stopErr = b.shutdown(ctx) })
	return b.stopErr
}

func (b *Broker) shutdown(ctx context.Context) error {
	b.cancel()
	closeListeners(b.listeners)
	_ = b.memoryListener.Close()
	b.loops.Wait()
	b.conns.stop()

	finished := make(chan struct{})
	go func() {
		b.conns.wg.Wait()
		close(finished)
	}()
	var late error
	select {
	case <-finished:
	case <-ctx.Done():
		late = fmt.Errorf("broker: connections were cut before their requests were answered: %w", ctx.Err())
		b.hardStop()
		b.conns.cut()
		<-finished
	}
	b.hardStop()
	return errors.Join(late, b.close())
}
