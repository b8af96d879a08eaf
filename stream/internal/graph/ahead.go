package graph

// ahead marks the steps between sources and asynchronous steps, and refuses those that cannot be called for a record
// ahead of its turn: their stores would see records that are processed, and fail, later.
func (c *check) ahead() {
	for _, n := range c.nodes {
		if n.Async {
			n.Ahead = true
			c.aheadOf(n, n)
		}
	}
}

// aheadOf marks what leads to n, which leads to the asynchronous step.
func (c *check) aheadOf(n, async *Node) {
	for _, e := range n.Inputs {
		from := e.From
		switch {
		case from.Kind == Source, from.Kind == Global, from.Repartitions():
		case from.Async:
			c.mistake("%s %q stands below %s %q: a call of the one would wait for the turn of the other; put a Rekey in between, or make both calls in one function",
				async.Op, async.Name, from.Op, from.Name)
		case !from.Pure:
			c.mistake("%s %q stands below %s %q: its calls begin before a record's turn, so only steps that depend on the record alone can stand between it and its topic; put a Rekey in between",
				async.Op, async.Name, from.Op, from.Name)
		case !from.Ahead:
			from.Ahead = true
			c.aheadOf(from, async)
		}
	}
}
