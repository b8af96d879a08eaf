package txn

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the stories in testdata. Each command prints what came of it and
// the transactional id as it is then. Producer ids are handed out from 100 on.
//
//	init [timeout=ms] [producer=id:epoch]    InitProducerId
//	add producer=id:epoch to=(topic-0, ...) [tv2]
//	verify producer=id:epoch to=topic-0
//	end producer=id:epoch commit|abort [tv2]
//	complete                                 the markers are written
//	tick                                     time has come
//	advance by=duration
//	restart                                  what the record keeps
//	epoch to=n                               as after many transactions
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		s := script{txn: New("tx"), now: time.UnixMilli(1_000_000), nextID: 100}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := s.run(t, d)
			if d.Cmd == "advance" {
				return out
			}
			return out + s.describe()
		})
	})
}

const expiry = time.Hour

type script struct {
	txn    Txn
	now    time.Time
	nextID int64
}

func (s *script) newID() (int64, error) {
	s.nextID++
	return s.nextID - 1, nil
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	version := TV1
	if d.HasArg("tv2") {
		version = TV2
	}
	p := producerArg(t, d)
	var err error
	var changed bool
	switch d.Cmd {
	case "init":
		ms := 60_000
		d.MaybeScanArgs(t, "timeout", &ms)
		r := InitRequest{Timeout: time.Duration(ms) * time.Millisecond, MaxTimeout: 15 * time.Minute, Present: p}
		s.txn, changed, err = s.txn.Init(s.now, r, s.newID)
	case "add":
		s.txn, changed, err = s.txn.Add(s.now, p, version, partitionsArg(d))
	case "verify":
		if err := s.txn.Verify(p, partitionsArg(d)[0]); err != nil {
			return err.Error() + "\n"
		}
		return "may write\n"
	case "end":
		s.txn, changed, err = s.txn.End(s.now, p, d.HasArg("commit"), version, s.newID)
	case "complete":
		s.txn, err = s.txn.Complete(s.now)
		changed = err == nil
	case "tick":
		s.txn, changed = s.txn.Tick(s.now, expiry)
	case "advance":
		var by string
		d.ScanArgs(t, "by", &by)
		duration, err := time.ParseDuration(by)
		if err != nil {
			t.Fatal(err)
		}
		s.now = s.now.Add(duration)
		return ""
	case "restart":
		r := s.txn.Record()
		s.txn, err = Decode(r.Key, r.Value)
		changed = true
	case "epoch":
		d.ScanArgs(t, "to", &s.txn.Epoch)
		changed = true
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	out := ""
	if err != nil {
		out = err.Error() + "\n"
	} else if !changed {
		out = "nothing to store\n"
	}
	return out
}

func (s *script) describe() string {
	t := s.txn
	out := fmt.Sprintf("%s %d:%d", t.State, t.ProducerID, t.Epoch)
	for _, p := range t.Partitions {
		out += fmt.Sprintf(" %s-%d", p.Topic, p.Index)
	}
	if t.Preparing() {
		m := t.Marker()
		out += fmt.Sprintf(" marker %d:%d commit=%v raised=%v", m.ID, m.Epoch, m.Commit, m.Raised)
	}
	return out + "\n"
}

func producerArg(t *testing.T, d *datadriven.TestData) Producer {
	p := Producer{NoID, NoEpoch}
	var text string
	if d.MaybeScanArgs(t, "producer", &text); text != "" {
		if _, err := fmt.Sscanf(text, "%d:%d", &p.ID, &p.Epoch); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func partitionsArg(d *datadriven.TestData) []Partition {
	var partitions []Partition
	for _, arg := range d.CmdArgs {
		if arg.Key != "to" {
			continue
		}
		for _, v := range arg.Vals {
			name, index, _ := strings.Cut(v, "-")
			p := Partition{Topic: name}
			_, _ = fmt.Sscan(index, &p.Index)
			partitions = append(partitions, p)
		}
	}
	return partitions
}

func TestRecordRefuses(t *testing.T) {
	t.Parallel()
	good := New("tx")
	good.ProducerID, good.Epoch, good.Timeout = 1, 0, time.Second
	r := good.Record()
	for name, c := range map[string]struct {
		key, value []byte
		want       error
	}{
		"empty key":         {nil, r.Value, ErrCorruptRecord},
		"newer key":         {[]byte{0, 9, 0, 1, 'x'}, r.Value, ErrUnknownRecord},
		"short key":         {r.Key[:3], r.Value, ErrCorruptRecord},
		"short value":       {r.Key, r.Value[:9], ErrCorruptRecord},
		"newer value":       {r.Key, append([]byte{0, 9}, r.Value[2:]...), ErrUnknownRecord},
		"value of one byte": {r.Key, []byte{0}, ErrCorruptRecord},
	} {
		if _, err := Decode(c.key, c.value); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
