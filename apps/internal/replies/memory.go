package replies

// memory keeps the latest replies, bounded by bytes. It is not safe for concurrent use.
type memory struct {
	most, bytes int64
	byID        map[string]kept
	order       []string // oldest first, from head on
	head        int
}

// kept is a reply as it lies in the log.
type kept struct {
	sum   string
	value []byte
}

// entryBytes is about what an entry takes besides its bytes.
const entryBytes = 150

func newMemory(most int64) memory { return memory{most: most, byID: make(map[string]kept)} }

func (m *memory) get(id string) (kept, bool) {
	k, ok := m.byID[id]
	return k, ok
}

// add keeps a reply, unless there is one of the id.
func (m *memory) add(id string, k kept) {
	if _, known := m.byID[id]; known {
		return
	}
	m.byID[id] = k
	m.order = append(m.order, id)
	m.bytes += size(id, k)
	// The latest one stays, however large: somebody waits for it.
	for m.bytes > m.most && len(m.byID) > 1 {
		m.forgetOldest()
	}
}

func (m *memory) forgetOldest() {
	id := m.order[m.head]
	m.order[m.head] = ""
	m.head++
	m.bytes -= size(id, m.byID[id])
	delete(m.byID, id)
	if m.head > len(m.order)/2 {
		m.order = append([]string(nil), m.order[m.head:]...)
		m.head = 0
	}
}

func size(id string, k kept) int64 {
	return int64(2*len(id)+len(k.sum)+cap(k.value)) + entryBytes
}
