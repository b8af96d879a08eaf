package broker

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fetchSessionIdle is how long a session that nobody uses is safe from being
// forgotten for another (min.incremental.fetch.session.eviction.ms).
const fetchSessionIdle = 2 * time.Minute

// fetchSession is what one client keeps fetching (KIP-227). With it the client says
// what is different from its last request, and is told what is different from the
// last answer: a fetch of a thousand quiet partitions is a hundred bytes.
//
// One request at a time uses a session, from begin to end.
type fetchSession struct {
	id   int32
	byID bool // topics go by id, by name otherwise

	// Guarded by fetchSessions.mu.
	epoch int32 // of the next request
	busy  bool
	used  time.Time
	size  int // partitions that count towards the limit

	// These belong to the request that uses the session.
	partitions []*sessionPartition // in the order in which they are read
	index      map[sessionKey]*sessionPartition
}

type sessionKey struct {
	topic string
	id    [16]byte
	index int32
}

// sessionPartition is one partition of a session: what is asked for, and what its
// client was told last.
type sessionPartition struct {
	topic string
	id    [16]byte
	asked kmsg.FetchRequestTopicPartition

	forgotten       bool
	moved           bool // the answer under way has records of it
	hw, start, last int64
}

// fetchSessions are the sessions of a broker, bounded in number and in size. It is
// safe for concurrent use.
type fetchSessions struct {
	maxSessions, maxPartitions int

	mu struct {
		sync.Mutex
		byID       map[int32]*fetchSession
		partitions int // of all sessions
	}
}

func newFetchSessions(cfg Config) *fetchSessions {
	fs := &fetchSessions{maxSessions: cfg.MaxFetchSessions, maxPartitions: cfg.MaxFetchSessionPartitions}
	fs.mu.byID = map[int32]*fetchSession{}
	return fs
}

// begin returns the session of a request, brought up to what the request says, or
// nil if it has none. The caller calls end when it is answered.
func (fs *fetchSessions) begin(r *kmsg.FetchRequest, now time.Time) (*fetchSession, error) {
	switch {
	case r.Version < 7:
		return nil, nil
	case r.SessionEpoch == 0 || r.SessionEpoch == -1: // a request for all
		if r.SessionID != 0 {
			fs.remove(r.SessionID)
		}
		if r.SessionEpoch == -1 || len(r.Topics) == 0 {
			return nil, nil
		}
		return fs.create(r, now), nil
	}
	s, err := fs.resume(r)
	if err != nil {
		return nil, err
	}
	s.update(r)
	if !fs.resize(s) {
		// There is no room for what was added. The client asks for all again, and is
		// given no session.
		fs.remove(s.id)
		return nil, kerr.FetchSessionIDNotFound
	}
	return s, nil
}

// resume finds the session that a request goes on with and takes it.
func (fs *fetchSessions) resume(r *kmsg.FetchRequest) (*fetchSession, error) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	s, ok := fs.mu.byID[r.SessionID]
	switch {
	case !ok:
		return nil, kerr.FetchSessionIDNotFound
	case s.busy || s.epoch != r.SessionEpoch:
		return nil, kerr.InvalidFetchSessionEpoch
	case s.byID != (r.Version >= 13):
		return nil, kerr.FetchSessionTopicIDError
	}
	s.busy = true
	if s.epoch++; s.epoch < 0 {
		s.epoch = 1
	}
	return s, nil
}

// create starts a session with what a request asks for, or returns nil if there is
// no room for one.
func (fs *fetchSessions) create(r *kmsg.FetchRequest, now time.Time) *fetchSession {
	s := &fetchSession{byID: r.Version >= 13, epoch: 1, busy: true, used: now, index: map[sessionKey]*sessionPartition{}}
	s.update(r)
	s.size = len(s.partitions)
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if !fs.makeRoomLocked(s.size, now) {
		return nil
	}
	for s.id == 0 || fs.mu.byID[s.id] != nil {
		s.id = rand.Int32N(math.MaxInt32)
	}
	fs.mu.byID[s.id] = s
	fs.mu.partitions += s.size
	return s
}

// makeRoomLocked forgets sessions that were idle for long, where one more would be
// too many, and reports whether there is room.
func (fs *fetchSessions) makeRoomLocked(size int, now time.Time) bool {
	fits := func() bool {
		return len(fs.mu.byID) < fs.maxSessions && fs.mu.partitions+size <= fs.maxPartitions
	}
	if fits() {
		return true
	}
	for id, s := range fs.mu.byID {
		if !s.busy && now.Sub(s.used) > fetchSessionIdle {
			fs.removeLocked(id)
		}
	}
	return fits()
}

func (fs *fetchSessions) remove(id int32) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.removeLocked(id)
}

func (fs *fetchSessions) removeLocked(id int32) {
	if s, ok := fs.mu.byID[id]; ok {
		delete(fs.mu.byID, id)
		fs.mu.partitions -= s.size
	}
}

// resize counts a session anew and reports whether it fits.
func (fs *fetchSessions) resize(s *fetchSession) bool {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.mu.byID[s.id] != s {
		return true // removed meanwhile: this is its last answer
	}
	fs.mu.partitions += len(s.partitions) - s.size
	s.size = len(s.partitions)
	return fs.mu.partitions <= fs.maxPartitions
}

// end gives a session back. One that fetches nothing any more is over.
func (fs *fetchSessions) end(s *fetchSession, now time.Time) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	s.busy, s.used = false, now
	if len(s.partitions) == 0 && fs.mu.byID[s.id] == s {
		fs.removeLocked(s.id)
	}
}

// update brings a session up to what a request says.
func (s *fetchSession) update(r *kmsg.FetchRequest) {
	for i := range r.ForgottenTopics {
		rt := &r.ForgottenTopics[i]
		for _, index := range rt.Partitions {
			key := s.key(rt.Topic, rt.TopicID, index)
			if sp, ok := s.index[key]; ok {
				sp.forgotten = true
				delete(s.index, key)
			}
		}
	}
	if len(r.ForgottenTopics) > 0 {
		s.partitions = slices.DeleteFunc(s.partitions, func(sp *sessionPartition) bool { return sp.forgotten })
	}
	for i := range r.Topics {
		rt := &r.Topics[i]
		for j := range rt.Partitions {
			asked := rt.Partitions[j]
			key := s.key(rt.Topic, rt.TopicID, asked.Partition)
			sp, ok := s.index[key]
			if !ok {
				sp = &sessionPartition{topic: key.topic, id: key.id, hw: -1, start: -1, last: -1}
				s.index[key] = sp
				s.partitions = append(s.partitions, sp)
			}
			sp.asked = asked
		}
	}
}

func (s *fetchSession) key(topic string, id [16]byte, index int32) sessionKey {
	if s.byID {
		topic = ""
	} else {
		id = [16]byte{}
	}
	return sessionKey{topic, id, index}
}

// news reports whether an answer has something about a partition that its client
// does not know, and notes that it will.
func (sp *sessionPartition) news(answer *kmsg.FetchResponseTopicPartition) bool {
	sp.moved = len(answer.RecordBatches) > 0
	if answer.ErrorCode != 0 {
		sp.hw = -1 // whatever comes next is news
		return true
	}
	changed := sp.moved ||
		answer.HighWatermark != sp.hw || answer.LogStartOffset != sp.start || answer.LastStableOffset != sp.last ||
		answer.DivergingEpoch.Epoch >= 0
	sp.hw, sp.start, sp.last = answer.HighWatermark, answer.LogStartOffset, answer.LastStableOffset
	return changed
}

// rotate moves the partitions that gave records behind the others, so that each has
// its turn where an answer is too small for all.
func (s *fetchSession) rotate() {
	if !slices.ContainsFunc(s.partitions, func(sp *sessionPartition) bool { return sp.moved }) {
		return
	}
	slices.SortStableFunc(s.partitions, func(a, b *sessionPartition) int {
		switch {
		case a.moved == b.moved:
			return 0
		case b.moved:
			return -1
		}
		return 1
	})
}
