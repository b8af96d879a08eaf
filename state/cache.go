package state

// readCache keeps what was read from the base of keys that no overlay has, in two tables: when the young one is full it becomes the
// old one, and what is not read again goes with that. What the base has of such a key changes only when an overlay goes
// that was written to it; then the cache begins anew.
type readCache struct {
	young, old table
	epoch      uint64 // of the layers
}

// get returns a value, a view that the next call may change.
func (c *readCache) get(epoch, hash uint64, key []byte) ([]byte, bool) {
	if c.epoch != epoch {
		c.epoch = epoch
		c.young.reset()
		c.old.reset()
	}
	if value, is := c.young.get(hash, key); is == present {
		return value, true
	}
	value, is := c.old.get(hash, key)
	if is == present {
		c.young.set(hash, key, value)
	}
	return value, is == present
}

// add keeps a value that get did not find, in at most so many bytes.
func (c *readCache) add(hash uint64, key, value []byte, most int64) {
	if c.young.size() > most/2 {
		c.young, c.old = c.old, c.young
		c.young.reset()
	}
	if int64(len(key)+len(value)) < most/4 {
		c.young.set(hash, key, value)
	}
}
