package producer

// LastBatches returns the base offset of the last batch of each producer that is
// known; of one without a numbered batch in its epoch, that of its last marker or
// batch. Compaction keeps their headers, so that a log tells what comes next even if
// all records are gone.
func (s *State) LastBatches() map[int64]int64 {
	last := make(map[int64]int64, len(s.producers))
	for id, p := range s.producers {
		last[id] = p.lastOffset
		if p.count > 0 {
			last[id] = p.last().baseOffset
		}
	}
	return last
}
