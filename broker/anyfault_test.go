package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"path"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/commitlog"
	"github.com/riffle-stream/riffle/broker/quota"
	"github.com/riffle-stream/riffle/broker/txn"
	"github.com/riffle-stream/riffle/internal/reliability"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// remembered is all that a broker remembers apart from the records themselves.
type remembered struct {
	Topics       []string // with ids, partitions and configs
	Offsets      map[string]int64
	Transactions []string
	Values       [2]map[string]int // of committed transactions, by partition
	ACLs         []acl.Binding
	Quotas       map[quota.Entity]quota.Limits
	Damaged      bool // a reader of the values is told of damage
}

// remember asks a broker what it remembers.
func remember(b *Broker) (r remembered, err error) {
	for _, t := range b.topics.all() {
		r.Topics = append(r.Topics, fmt.Sprintf("%s %x %d %v", t.Name, t.ID, len(t.partitions), t.Configs))
	}
	orders, ok := b.topics.lookup("orders")
	if !ok {
		return r, errors.New("the topic is gone")
	}
	r.Offsets = map[string]int64{}
	for _, id := range []string{"g", "tg"} {
		if r.Offsets[id], err = committedAt(b, id, orders); err != nil {
			return r, err
		}
	}
	err = b.txns.show(func(t txn.Txn) {
		r.Transactions = append(r.Transactions, fmt.Sprintf("%s %d/%d %v", t.ID, t.ProducerID, t.Epoch, t.State))
	})
	if err != nil {
		return r, err
	}
	for i, p := range orders.partitions {
		if r.Values[i], err = committedIn(p); errors.As(err, new(*commitlog.CorruptError)) {
			r.Damaged = true
		} else if err != nil {
			return r, err
		}
	}
	r.ACLs = b.access.ACLs().Bindings()
	r.Quotas = map[quota.Entity]quota.Limits{}
	for _, e := range b.access.Quotas().Entities() {
		r.Quotas[e] = b.access.Quotas().Limits(e)
	}
	return r, nil
}

// TestAnyFaultInTheState does one thing at a time to any file of a broker that was
// stopped: the catalog, users, permissions and quotas, the logs of the coordinators and
// those of a topic. Then the broker refuses to start and names the file; or it starts and
// remembers what it did before; or what it forgot is reported. It never takes damage for
// the truth.
func TestAnyFaultInTheState(t *testing.T) {
	t.Parallel()
	origin := vfs.NewMem()
	b, orders := startOn(t, Config{FS: origin})
	told := &promises{committed: -1, tried: -1, outcomes: map[int]*bool{}, begun: map[string]bool{}}
	playCoordinators(t, b, orders, told, 10)
	err := errors.Join(
		b.access.AddACLs(acl.Binding{Type: acl.Topic, Name: "orders", Pattern: acl.Literal, Principal: "User:alice", Host: "*", Operation: acl.Read, Permission: acl.Allow}),
		b.access.SetQuota(quota.Entity{User: quota.Default}, quota.Limits{quota.Produce: 1e6}),
	)
	if err != nil {
		t.Fatal(err)
	}
	want, err := remember(b)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	files := allFiles(t, origin, ".")
	outcomes := map[string]int{}
	for i := range reliability.Figure(150, 2000) {
		rng := rand.New(rand.NewPCG(uint64(i), 77))
		name, fault := files[rng.IntN(len(files))], reliability.AnyFault(rng)
		damaged := origin.Clone()
		damageFile(t, damaged, name, func(b []byte) []byte { return fault.Do(rng, b) })
		outcome, err := restart(damaged, want, name)
		if err != nil {
			t.Fatalf("fault %d: %s: %s: %v", i, name, fault.Name, err)
		}
		outcomes[outcome]++
	}
	t.Logf("%d files; outcomes %v", len(files), outcomes)
	if len(outcomes) != 3 {
		t.Errorf("outcomes %v, want some of each", outcomes)
	}
}

// restart starts a broker on a directory with a damaged file, and says what became of it.
func restart(fsys vfs.FS, want remembered, damaged string) (outcome string, err error) {
	var out strings.Builder
	logged := &syncWriter{w: &out}
	b, err := Start(Config{FS: fsys, Logger: slog.New(slog.NewTextHandler(logged, nil))})
	if err != nil {
		if !strings.Contains(err.Error(), path.Base(damaged)) {
			return "", fmt.Errorf("the broker refuses to start, and does not name the file: %w", err)
		}
		return "refused", nil
	}
	got, failed := remember(b)
	for errors.Is(failed, kerr.CoordinatorLoadInProgress) { // on a busy machine
		got, failed = remember(b)
	}
	stopped := b.Stop(context.Background())
	reported := got.Damaged || strings.Contains(logged.String(), "level=ERROR")
	if got.Damaged {
		got.Damaged, got.Values = false, want.Values
	}
	diff := cmp.Diff(want, got)
	switch {
	case diff != "" && !strings.HasPrefix(damaged, "topics/"):
		return "", fmt.Errorf("the broker started, and forgot something that is not in the logs:\n%s", diff)
	case failed == nil && diff == "" && stopped == nil && !reported:
		return "remembered", nil
	case reported:
		return "reported", nil
	default:
		return "", fmt.Errorf("%v, %v, not reported; want and got:\n%s\nlog:\n%s", failed, stopped, diff, logged)
	}
}

// allFiles are the names of all files below a directory.
func allFiles(t *testing.T, fsys vfs.FS, dir string) (files []string) {
	t.Helper()
	names, err := fsys.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name = path.Join(dir, name)
		if _, err := fsys.List(name); err == nil {
			files = append(files, allFiles(t, fsys, name)...)
		} else {
			files = append(files, name)
		}
	}
	return files
}

// damageFile rewrites a file.
func damageFile(t *testing.T, fsys vfs.FS, name string, edit func(b []byte) []byte) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		t.Fatal(err)
	}
	b = edit(b)
	_, err = f.WriteAt(b, 0)
	if err := errors.Join(err, f.Truncate(int64(len(b))), f.Sync()); err != nil {
		t.Fatal(err)
	}
}

// syncWriter is a builder that goroutines share.
type syncWriter struct {
	mu sync.Mutex
	w  *strings.Builder
}

func (s *syncWriter) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (s *syncWriter) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.String()
}
