package state

import (
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"
)

// Spec describes a store to a backend.
type Spec struct {
	// Name is unique within an application: the changelog topic, the data on
	// disk and the metrics carry it.
	Name string
	// Kind is what the store is declared as.
	Kind Kind
	// TTL is how long an entry can be read after the event time of the record
	// that put it, a window after its start, a session after its end. Zero keeps
	// entries for ever.
	TTL time.Duration
	// Err is a mistake in the declaration; the topology's Build reports it.
	Err error
}

// Kind is a kind of typed store.
type Kind byte

const (
	KindKeyValue Kind = iota // [KeyValueStore]
	KindTimers               // [Timers]
	KindWindow               // [WindowStore]
	KindSession              // [SessionStore]
	KindJoin                 // [JoinStore]
	KindSuppress             // [SuppressStore]
)

// Layout names how keys and values of the store are laid out, for the commit
// markers: a store that was written with another layout cannot be read.
func (s Spec) Layout() Layout {
	switch {
	case s.Kind == KindTimers:
		return LayoutTimers
	case s.Kind == KindWindow:
		return LayoutWindows
	case s.Kind == KindSession:
		return LayoutSessions
	case s.Kind == KindJoin:
		return LayoutJoin
	case s.Kind == KindSuppress:
		return LayoutSuppress
	case s.TTL > 0:
		return LayoutExpiring
	}
	return LayoutPlain
}

// Layout is how a store's bytes are to be read.
type Layout byte

const (
	// LayoutPlain has the encoded key and value as they are.
	LayoutPlain Layout = 1
	// LayoutExpiring has times in front of the values and an expiry index beside
	// the entries.
	LayoutExpiring Layout = 2
	// LayoutTimers has the time of each key, and an index by time.
	LayoutTimers Layout = 3
	// LayoutWindows has the start of a window behind each key, and an index by start.
	LayoutWindows Layout = 4
	// LayoutSessions has the end and the start of a session behind each key, and an
	// index by end.
	LayoutSessions Layout = 5
	// LayoutJoin has the records of either side, and an index by the time when
	// something has to be done about them.
	LayoutJoin Layout = 6
	// LayoutSuppress has the changes that are held back, an index by the time when
	// they are sent, and how many there are.
	LayoutSuppress Layout = 7
)

func (l Layout) String() string {
	switch l {
	case LayoutPlain:
		return "plain"
	case LayoutExpiring:
		return "expiring"
	case LayoutTimers:
		return "timers"
	case LayoutWindows:
		return "windows"
	case LayoutSessions:
		return "sessions"
	case LayoutJoin:
		return "join"
	case LayoutSuppress:
		return "suppress"
	}
	return fmt.Sprintf("layout(%d)", byte(l))
}

// Definition is a declared store. What a processor is given to name its stores.
type Definition interface {
	Spec() Spec
}

// Context is what a store needs of the processing context to be opened for one
// record.
type Context interface {
	// Store returns the store of that name, or nil if the node did not name it.
	Store(name string) Store
	// StreamTime is the largest event time that the task has seen.
	StreamTime() time.Time
	// RecordTime is the event time of the record being processed.
	RecordTime() time.Time
}

// KV is one entry as bytes.
type KV struct{ Key, Value []byte }

// Store is one store of a task, as bytes. Slices that it returns are valid until
// the next call on it and must not be changed; slices given to it are copied. A
// nil key or value that is put is the empty one; what is found or yielded is never
// nil, so that nil always means none. It must not be used concurrently.
type Store interface {
	// Get returns the value of key; false if there is none.
	Get(key []byte) (value []byte, found bool, err error)
	// Put sets the value of key.
	Put(key, value []byte) error
	// Delete removes key; removing what is not there is no error, and still
	// reaches the changelog.
	Delete(key []byte) error
	// Range yields the entries with from <= key < to in the order of their key
	// bytes; a nil from is the beginning, a nil to the end. After an error it
	// ends. Entries may be put and deleted meanwhile: the loop yields those keys
	// that existed when it began and still exist, with their present values.
	Range(from, to []byte) iter.Seq2[KV, error]
}

// TaskID names a task: a sub-topology and a partition. It is written "0_3".
type TaskID struct {
	SubTopology int
	Partition   int32
}

func (id TaskID) String() string {
	return strconv.Itoa(id.SubTopology) + "_" + strconv.Itoa(int(id.Partition))
}

// ParseTaskID is the inverse of [TaskID.String].
func ParseTaskID(s string) (TaskID, error) {
	sub, part, ok := strings.Cut(s, "_")
	a, err1 := strconv.ParseUint(sub, 10, 31)
	b, err2 := strconv.ParseUint(part, 10, 31)
	id := TaskID{SubTopology: int(a), Partition: int32(b)}
	if !ok || err1 != nil || err2 != nil || id.String() != s {
		return TaskID{}, fmt.Errorf("state: task id %q: want SUBTOPOLOGY_PARTITION, such as 0_3", s)
	}
	return id, nil
}

// Change is a write: a put, or a delete if Value is nil. An empty value that is
// put is not nil.
type Change struct {
	Key   []byte
	Value []byte
}

// Backend keeps the stores of the tasks of one application instance. Its methods
// are safe for concurrent use.
type Backend interface {
	// OpenTask opens the stores of a task. A task can be open once at a time.
	OpenTask(id TaskID, stores []Spec) (Task, error)
	// Local returns the tasks of which there are data, open or not, each with what the data of its stores stand for: the
	// further that is, the less a restore has to read. It may lag behind open tasks.
	Local() map[TaskID]map[string]Position
	// Close closes the tasks that are still open, then the backend.
	Close() error
}

// Task holds the stores of one task. It must not be used concurrently.
type Task interface {
	// Store returns a store of the task.
	Store(name string) (Store, bool)
	// Committed returns a store as it was committed last, to be read only.
	Committed(name string) (Store, bool)
	// Position is what the durable and the committed data of a store stand for,
	// the open overlay aside.
	Position(store string) Position
	// Restore applies changes below the open overlay. Until SetPosition says
	// otherwise the store stands where it stood: applying changes twice does no
	// harm.
	Restore(store string, changes []Change) error
	// SetPosition says what the restored data stand for.
	SetPosition(store string, p Position)
	// Changes yields the open writes of a store: the last one of each key, in the
	// order in which the keys were first written. The slices are valid until the
	// next write to the store.
	Changes(store string) iter.Seq[Change]
	// OpenBytes is about the size of the open overlay.
	OpenBytes() int64
	// Commit folds the open overlay into the committed one and moves the stores to
	// the positions given. It may wait for a checkpoint, when the committed
	// overlay is full: the one place where a slow disk slows a task down.
	Commit(positions map[string]Position) error
	// Abort drops the open overlay.
	Abort()
	// Wipe empties all stores of the task and resets their positions. The old
	// data are removed in the background.
	Wipe() error
	// Close closes the task; what is not committed is dropped.
	Close() error
}
