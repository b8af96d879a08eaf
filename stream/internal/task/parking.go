package task

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/riffle-stream/riffle/stream/internal/client"
)

// HeaderReplayed is the header of a record that was a dead letter of a parked key, and was put back: its place among the
// letters of the key, in decimal, after "discard:" if it is to be forgotten.
const HeaderReplayed = "riffle.replayed"

const discardPrefix = "discard:"

// errParked is why a record of a parked key was not processed.
var errParked = errors.New("an earlier record of its key is among the dead letters")

// parking keeps records of a key in order once one of them is a dead letter: those behind it become dead letters too, unseen,
// until all of them were put back and have passed.
//
// The letters of a key are numbered. The store has, for each parked key of an input, the number of the first one that has not
// passed and that of the next one, and of each letter a digest of its value:
//
//	'm' id          first next
//	'e' id number   digest
//
// where id is a digest of topic and key. A record is taken for a letter that was put back only if it names the number and has
// the value: what else a header of an input says is not believed.
type parking struct {
	store *store
	frame *Frame
	key   []byte
}

// replay is what the header of a record says of its first life.
type replay struct {
	number  int64
	discard bool
}

// place is where the first record of an input stands among the letters of its key.
type place struct {
	parked      bool
	first, next int64
	number      int64 // of the letter that the record is; -1 for a new record
	discard     bool
}

// isFirst reports whether the record is the letter whose turn it is.
func (p place) isFirst() bool { return p.parked && p.number == p.first }

// takeReplays removes the headers of records that were put back, and remembers them: functions do not see them.
func (in *input) takeReplays(records []client.Record) {
	for i := range records {
		r := &records[i]
		for _, h := range r.Headers {
			if h.Key != HeaderReplayed {
				continue
			}
			text, discard := strings.CutPrefix(string(h.Value), discardPrefix)
			if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
				if in.replays == nil {
					in.replays = make(map[int64]replay)
				}
				in.replays[r.Offset] = replay{n, discard}
			}
			r.Headers = slices.DeleteFunc(slices.Clone(r.Headers), func(h client.Header) bool { return h.Key == HeaderReplayed })
			break
		}
	}
}

func digest(parts ...[]byte) []byte {
	h := sha256.New()
	for _, p := range parts {
		if p == nil {
			h.Write([]byte{0})
			continue
		}
		h.Write(binary.AppendUvarint([]byte{1}, uint64(len(p))))
		h.Write(p)
	}
	return h.Sum(nil)
}

func (p *parking) meta(id []byte) []byte {
	p.key = append(append(p.key[:0], 'm'), id...)
	return p.key
}

func (p *parking) entry(id []byte, number int64) []byte {
	p.key = append(append(p.key[:0], 'e'), id...)
	p.key = binary.BigEndian.AppendUint64(p.key, uint64(number))
	return p.key
}

// find returns where the first record of in stands. Errors of the store have stopped the task.
func (p *parking) find(in *input) (place, error) {
	r := in.first()
	id := digest([]byte(in.topic), r.Key)
	at := place{number: -1}
	value, found, err := p.store.Get(p.meta(id))
	if err != nil || !found {
		return at, err
	}
	if len(value) != 16 {
		return at, fmt.Errorf("parked key with a value of %d bytes", len(value))
	}
	at.parked = true
	at.first, at.next = int64(binary.BigEndian.Uint64(value)), int64(binary.BigEndian.Uint64(value[8:]))
	was, ok := in.replays[r.Offset]
	if !ok || was.number < at.first || was.number >= at.next {
		return at, nil
	}
	have, found, err := p.store.Get(p.entry(id, was.number))
	if found && bytes.Equal(have, digest(r.Value)) {
		at.number, at.discard = was.number, was.discard
	}
	return at, err
}

// add has the record become a letter of its key, with the effects of what happens to it now, and returns its number.
func (p *parking) add(in *input, at place) int64 {
	if at.number >= 0 {
		return at.number // it is one
	}
	r := in.first()
	id := digest([]byte(in.topic), r.Key)
	p.frame.writes.add(p.store, p.entry(id, at.next), digest(r.Value), false)
	p.set(id, at.first, at.next+1)
	return at.next
}

// pass has the record, which is the first letter of its key, be one no more.
func (p *parking) pass(in *input, at place) {
	id := digest([]byte(in.topic), in.first().Key)
	p.frame.writes.add(p.store, p.entry(id, at.first), nil, true)
	if at.first+1 == at.next {
		p.frame.writes.add(p.store, p.meta(id), nil, true)
		return
	}
	p.set(id, at.first+1, at.next)
}

func (p *parking) set(id []byte, first, next int64) {
	value := binary.BigEndian.AppendUint64(nil, uint64(first))
	p.frame.writes.add(p.store, p.meta(id), binary.BigEndian.AppendUint64(value, uint64(next)), false)
}

// park finds out where the first record of in stands, and reports whether it may be processed. One that has to wait
// becomes a dead letter.
func (t *Task) park(in *input) (free, took bool, err error) {
	f := &t.frame
	in.place = place{number: -1}
	if t.parking == nil || in.first().Key == nil {
		return true, false, nil
	}
	f.failed, f.output = nil, ""
	f.Enter(in.node.ID)
	at, err := func() (at place, err error) {
		defer t.recovered()
		return t.parking.find(in)
	}()
	if f.fatal != nil || err != nil {
		return false, false, t.stop(in, errors.Join(f.fatal, err))
	}
	in.place = at
	switch {
	case !at.parked, at.isFirst() && !at.discard:
		return true, false, nil
	case at.isFirst():
		t.parking.pass(in, at)
	default:
		letter := DeadLetter{
			Topic: in.topic, Partition: t.cfg.ID.Partition, Record: in.first(), Stage: Waiting,
			Node: in.node.Name, Cause: errParked, Parked: true, Number: t.parking.add(in, at),
		}
		switch err := t.cfg.Output.DeadLetter(letter); {
		case errors.Is(err, ErrHold):
			t.held = true
			t.postpone(in, f.streamTime, holdPause)
			return false, false, nil
		case err != nil:
			return false, false, t.stop(in, fmt.Errorf("dead letter: %w", err))
		}
	}
	if err := f.takeEffect(t.cfg.Output); err != nil {
		return false, false, t.stop(in, err)
	}
	in.advance()
	return false, true, nil
}

// parks reports whether the key of the first record of in is to be parked if it fails.
func (t *Task) parks(in *input) bool { return t.parking != nil && in.first().Key != nil }
