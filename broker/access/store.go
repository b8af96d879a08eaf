package access

import (
	"sync"
	"sync/atomic"

	"github.com/riffle-stream/riffle/broker/acl"
	"github.com/riffle-stream/riffle/broker/quota"
	"github.com/riffle-stream/riffle/broker/scram"
	"github.com/riffle-stream/riffle/broker/statefile"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// ErrFenced means that an earlier change failed in a way that leaves open whether
// the disk holds it. Lookups go on, changes do not until the broker is started
// again.
var ErrFenced = statefile.ErrFenced

// Store is the users, ACLs and quotas of one broker. It is safe for concurrent use.
type Store struct {
	current atomic.Pointer[state] // immutable; replaced under mu

	mu   sync.Mutex // of changes, and of file
	file *statefile.File
}

// state is what the file holds.
type state struct {
	users map[string]user
	acls  *acl.Set

	quotas *quota.Table
}

// user is the verifiers of one user, by mechanism.
type user map[scram.Mechanism]scram.Verifier

func newState() *state {
	return &state{users: map[string]user{}, acls: acl.NewSet(nil), quotas: quota.NewTable(nil)}
}

// Open reads the store of the broker whose directory is fsys. A directory without
// one has an empty store; the file is made by the first change. A file that is
// damaged, foreign or of a later release is refused with a *statefile.Error, which
// names the remedy.
//
// The caller holds the directory's lock.
func Open(fsys vfs.FS) (*Store, error) {
	s := &Store{file: statefile.New(fsys, fileSpec)}
	body, err := s.file.Read()
	if err != nil {
		return nil, err
	}
	st := newState()
	if body != nil {
		if st, err = decode(body); err != nil {
			return nil, fileSpec.Damaged("%w", err)
		}
	}
	s.current.Store(st)
	return s, nil
}

// commitLocked makes st durable and then current. The caller holds mu.
func (s *Store) commitLocked(st *state) error {
	body, err := encode(st)
	if err != nil {
		return err
	}
	if err := s.file.Replace(body); err != nil {
		return err
	}
	s.current.Store(st)
	return nil
}
