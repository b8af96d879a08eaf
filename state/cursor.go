package state

// cursor goes over what a table has of a range, in the order of the keys. What is written meanwhile it does not see.
type cursor struct {
	table *table
	ref   int // < 0 at the end
	limit int // refs from here on were written after the range began
	// refs are those after ref, the last one first, if the range is one of a group.
	refs    []uint32
	inGroup bool
}

// open begins a range. The slice of refs is used again.
func (c *cursor) open(t *table, r *keyRange) {
	*c = cursor{table: t, ref: -1, limit: t.len(), refs: c.refs[:0]}
	if !t.meets(r) {
		return
	}
	if r.group > 0 && t.group() {
		if c.refs, c.inGroup = t.inGroup(c.refs, r); c.inGroup {
			c.next()
			return
		}
		c.refs = c.refs[:0]
	}
	for class := range classes {
		if r.holds(class) {
			t.index(class)
		}
	}
	c.ref = t.seek(r.from)
}

// close ends at once.
func (c *cursor) close() { c.table, c.ref = nil, -1 }

func (c *cursor) next() {
	if !c.inGroup {
		for c.ref = c.table.after(c.ref); c.ref >= c.limit; {
			c.ref = c.table.after(c.ref)
		}
		return
	}
	n := len(c.refs) - 1
	if n < 0 {
		c.ref = -1
		return
	}
	c.ref, c.refs = int(c.refs[n]), c.refs[:n]
}

func (c *cursor) key() []byte { return c.table.key(c.ref) }
