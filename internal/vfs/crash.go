package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// CrashClone returns what a machine could find on this disk after a power loss at
// this moment, as a file system of its own. What was synced is there. Of the rest,
// each 512-byte sector of a file and each change of a directory survives with the
// given probability in percent, independently of the others, so that writes are
// torn and reordered. A sector that did not survive holds what it held before, or
// zeros if the file was shorter. Renaming within a directory is one change; either
// both names change or none does. The choice depends only on rng and the contents.
//
// Open files of the original do not write to the clone, and locks are free in it.
func (m *Mem) CrashClone(percent int, rng *rand.Rand) *Mem {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	c := crash{percent: percent, rng: rng, clones: make(map[*node]*node)}
	clone := NewMem()
	d := clone.disk
	d.mu.root = c.node(m.disk.mu.root)
	d.mu.capacity = m.disk.mu.capacity
	for _, n := range c.clones {
		if n.names > 0 {
			d.mu.used += int64(len(n.data))
		}
	}
	return &Mem{disk: d, prefix: m.prefix}
}

// Clone returns a copy that shares nothing with the original, as after a crash of
// the process alone: everything is there, and what was not synced still is not.
func (m *Mem) Clone() *Mem {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	clone := NewMem()
	clone.prefix = m.prefix
	d := clone.disk
	clones := make(map[*node]*node)
	d.mu.root = m.disk.mu.root.clone(clones)
	d.mu.capacity = m.disk.mu.capacity
	for _, n := range clones {
		for _, child := range n.children {
			child.names++
		}
	}
	for _, n := range clones {
		if n.names > 0 {
			d.mu.used += int64(len(n.data))
		}
	}
	return clone
}

// clone copies n and all that it refers to, except for who has it open.
func (n *node) clone(clones map[*node]*node) *node {
	if clone := clones[n]; clone != nil || n == nil {
		return clone
	}
	clone := &node{data: slices.Clone(n.data), size: n.size, pending: slices.Clone(n.pending)}
	clones[n] = clone
	if n.children == nil {
		clone.saved = make(map[int64][]byte, len(n.saved))
		for s, content := range n.saved {
			clone.saved[s] = slices.Clone(content)
		}
		return clone
	}
	cloneNames := func(names map[string]*node) map[string]*node {
		m := make(map[string]*node, len(names))
		for name, child := range names {
			m[name] = child.clone(clones)
		}
		return m
	}
	clone.children, clone.durable = cloneNames(n.children), cloneNames(n.durable)
	for i := range clone.pending {
		clone.pending[i].child = clone.pending[i].child.clone(clones)
	}
	return clone
}

type crash struct {
	percent int
	rng     *rand.Rand
	clones  map[*node]*node // a file may have several names
}

func (c *crash) survives() bool { return c.rng.IntN(100) < c.percent }

func (c *crash) node(n *node) *node {
	if clone := c.clones[n]; clone != nil {
		return clone
	}
	var clone *node
	if n.children == nil {
		clone = c.file(n)
	} else {
		clone = newDir()
	}
	c.clones[n] = clone
	if n.children == nil {
		return clone
	}
	names := maps.Clone(n.durable)
	for _, r := range n.pending {
		if !c.survives() {
			continue
		}
		if r.gone != "" {
			delete(names, r.gone)
		}
		if r.name != "" {
			names[r.name] = r.child
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		child := c.node(names[name])
		child.names++
		clone.children[name] = child
	}
	clone.durable = maps.Clone(clone.children)
	return clone
}

// file returns what is left of a file. Its size is a sector's boundary between the
// old and the new one, if not one of the two.
func (c *crash) file(n *node) *node {
	size := int64(len(n.data))
	if size != n.size && !c.survives() {
		size = n.size
		if grown := int64(len(n.data)) - n.size; grown > 0 && c.survives() {
			size = min(int64(len(n.data)), (n.size+c.rng.Int64N(grown)+sector-1)/sector*sector)
		}
	}
	data := make([]byte, size)
	copy(data, n.data)
	for s := int64(0); s*sector < size; s++ {
		from, to := s*sector, min((s+1)*sector, size)
		switch old, changed := n.saved[s]; {
		case changed:
			if !c.survives() || from >= int64(len(n.data)) {
				copy(data[from:to], old)
			}
		case to > n.size: // appended since the last Sync
			if !c.survives() {
				clear(data[max(from, n.size):to])
			}
		}
	}
	return &node{data: data, size: size, saved: make(map[int64][]byte)}
}
