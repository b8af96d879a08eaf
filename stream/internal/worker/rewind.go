package worker

// rewind drops what is not committed of all tasks: a transaction is theirs together. They are opened again where the last
// commit left them, unless the group takes their partitions away before.
func (w *Worker) rewind(why error) error {
	w.cfg.Logger.Warn("a commit did not come about, going back to the last one", "app", w.cfg.App, "err", why)
	w.cfg.Metrics.rewound()
	partitions := make(map[string][]int32)
	for _, r := range w.order {
		for _, in := range r.inputs {
			partitions[in.topic] = append(partitions[in.topic], r.id.Partition)
		}
	}
	w.want(partitions)
	w.committer.abort()
	return w.closeTasks()
}
