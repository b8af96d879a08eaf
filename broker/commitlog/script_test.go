package commitlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/riffle-stream/riffle/broker/record"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// TestScripts runs the stories in testdata. Time stands still until it is advanced,
// and is printed as the distance from the start.
//
//	open [segment-bytes=N] [segment-age=D] [index-interval=N] [mark-bytes=N]
//	     [retention-bytes=N] [retention-age=D] [max-batch-bytes=N] [append-time]
//	  Opens the log and prints what it found. The settings stay until the next open
//	  that names any.
//	append [producer=N seq=N [epoch=N]] [at=D] [compressed]
//	value value ...
//	  Appends one batch per line, its records at time D and on, one a millisecond.
//	flush, close, verify
//	kill                  ends the process; what is not synced is still there
//	crash percent=N       cuts the power; N percent of what is not synced is there
//	advance by=D
//	retain
//	read from=N [to=N] [max=N]
//	time at=D             finds the first record from a time on
//	latest                finds the record with the largest timestamp
//	files                 lists the files with their sizes
//	truncate file=NAME by=N, grow file=NAME by=N [zeros], flip file=NAME at=N, remove file=NAME
//	  Change a file behind the log's back; grow writes garbage or zeros.
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "/fuzz/") || strings.Contains(path, "/rapid/") {
			return
		}
		s := &script{mem: vfs.NewMem(), now: epoch}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return s.run(t, d) })
		if s.log != nil {
			if err := s.log.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		}
	})
}

type script struct {
	mem *vfs.Mem
	cfg Config
	now time.Time
	log *Log
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "open":
		return s.open(t, d)
	case "append":
		return s.append(t, d)
	case "read":
		return s.read(t, d)
	case "flush":
		return s.result(s.log.Flush())
	case "close":
		err := s.log.Close()
		s.log = nil
		return printError(err)
	case "verify":
		return printError(s.log.Verify())
	case "kill":
		s.mem, s.log = s.mem.Clone(), nil
	case "crash":
		var percent int
		d.ScanArgs(t, "percent", &percent)
		s.mem, s.log = s.mem.CrashClone(percent, rand.New(rand.NewPCG(1, 1))), nil
	case "advance":
		s.now = s.now.Add(duration(t, d, "by"))
		return fmt.Sprintf("now %v\n", s.now.Sub(epoch))
	case "retain":
		n, err := s.log.Retain(s.now)
		return fmt.Sprintf("deleted %d\n%s", n, s.result(err))
	case "time":
		return printFound(s.log.OffsetForTime(epoch.Add(duration(t, d, "at")).UnixMilli()))
	case "latest":
		return printFound(s.log.MaxTimestamp())
	case "files":
		return s.files(t)
	case "truncate", "grow", "flip", "remove":
		s.edit(t, d)
	default:
		t.Fatalf("unknown command %q", d.Cmd)
	}
	return ""
}

func duration(t *testing.T, d *datadriven.TestData, key string) (v time.Duration) {
	d.ScanArgs(t, key, &v)
	return v
}

func (s *script) open(t *testing.T, d *datadriven.TestData) string {
	cfg := Config{}
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "segment-bytes":
			d.ScanArgs(t, arg.Key, &cfg.SegmentBytes)
		case "index-interval":
			d.ScanArgs(t, arg.Key, &cfg.IndexIntervalBytes)
		case "mark-bytes":
			d.ScanArgs(t, arg.Key, &cfg.MarkBytes)
		case "max-batch-bytes":
			d.ScanArgs(t, arg.Key, &cfg.MaxBatchBytes)
		case "retention-bytes":
			d.ScanArgs(t, arg.Key, &cfg.RetentionBytes)
		case "segment-age":
			cfg.SegmentAge = duration(t, d, arg.Key)
		case "retention-age":
			cfg.RetentionAge = duration(t, d, arg.Key)
		case "append-time":
			cfg.LogAppendTime = true
		}
	}
	if len(d.CmdArgs) > 0 {
		s.cfg = cfg
	}
	l, err := Open(s.mem, s.cfg, s.now)
	if err != nil {
		return printError(err)
	}
	s.log = l
	r := l.Recovery()
	var b strings.Builder
	fmt.Fprintf(&b, "clean=%v walked=%d cut=%d rebuilt=%d\n", r.Clean, r.WalkedBytes, r.CutBytes, r.RebuiltIndexes)
	for _, c := range r.Corrupt {
		fmt.Fprintf(&b, "%v\n", c)
	}
	if r.CheckpointLost {
		b.WriteString("checkpoint lost\n")
	}
	if r.Quarantined {
		b.WriteString("quarantined\n")
	}
	return b.String() + s.result(nil)
}

// result is the state of the log.
func (s *script) result(err error) string {
	if err != nil {
		return printError(err)
	}
	l := s.log
	return fmt.Sprintf("[%d, %d) flushed %d, %d segments\n", l.StartOffset(), l.EndOffset(), l.FlushedOffset(), l.Segments())
}

func printError(err error) string {
	if err == nil {
		return "ok\n"
	}
	return fmt.Sprintf("error: %v\n", err)
}

func (s *script) append(t *testing.T, d *datadriven.TestData) string {
	at := s.now
	if d.HasArg("at") {
		at = epoch.Add(duration(t, d, "at"))
	}
	var out strings.Builder
	for line := range strings.Lines(d.Input) {
		var w record.Builder
		if d.HasArg("producer") {
			var id int64
			var epoch int16
			var seq int32
			d.ScanArgs(t, "producer", &id)
			d.ScanArgs(t, "seq", &seq)
			d.MaybeScanArgs(t, "epoch", &epoch)
			w.SetProducer(id, epoch, seq)
		}
		for i, v := range strings.Fields(line) {
			w.Append(at.UnixMilli()+int64(i), nil, []byte(v))
		}
		b := w.Finish()
		if d.HasArg("compressed") {
			b[22] |= byte(record.Zstd) // nobody will look inside
			be.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
		}
		a, err := s.log.Append(b, s.now)
		if err != nil {
			out.WriteString(printError(err))
			continue
		}
		fmt.Fprintf(&out, "[%d, %d)", a.BaseOffset, a.NextOffset)
		if a.Duplicate {
			out.WriteString(" duplicate")
		}
		if a.LogAppendTime >= 0 {
			fmt.Fprintf(&out, " at %v", time.UnixMilli(a.LogAppendTime).Sub(epoch))
		}
		out.WriteString("\n")
	}
	return out.String()
}

func (s *script) read(t *testing.T, d *datadriven.TestData) string {
	spec := ReadSpec{UpTo: s.log.EndOffset(), MaxBytes: 1 << 20, WholeFirst: !d.HasArg("max")}
	d.ScanArgs(t, "from", &spec.From)
	d.MaybeScanArgs(t, "to", &spec.UpTo)
	d.MaybeScanArgs(t, "max", &spec.MaxBytes)
	b, err := s.log.Read(spec, nil)
	if err != nil {
		return printError(err)
	}
	var out strings.Builder
	for len(b) > 0 {
		batch, rest, err := record.Next(b)
		if err != nil {
			return printError(err)
		}
		fmt.Fprintf(&out, "[%d, %d)", batch.BaseOffset(), batch.NextOffset())
		for r, err := range batch.Records() {
			if err != nil {
				return printError(err)
			}
			fmt.Fprintf(&out, " %s@%v", r.Value, time.UnixMilli(r.Timestamp).Sub(epoch))
		}
		out.WriteString("\n")
		b = rest
	}
	if out.Len() == 0 {
		return "nothing\n"
	}
	return out.String()
}

func printFound(offset, timestamp int64, found bool, err error) string {
	switch {
	case err != nil:
		return printError(err)
	case !found:
		return "none\n"
	}
	return fmt.Sprintf("offset %d at %v\n", offset, time.UnixMilli(timestamp).Sub(epoch))
}

func (s *script) files(t *testing.T) string {
	names, err := s.mem.List(".")
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, name := range names {
		fmt.Fprintf(&out, "%-30s %d\n", name, len(mustReadAll(t, s.mem, name)))
	}
	return out.String()
}

func (s *script) edit(t *testing.T, d *datadriven.TestData) {
	var name string
	var n int
	d.ScanArgs(t, "file", &name)
	d.MaybeScanArgs(t, "by", &n)
	d.MaybeScanArgs(t, "at", &n)
	if d.Cmd == "remove" {
		if err := s.mem.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		return
	}
	editFile(t, s.mem, name, func(b []byte) []byte {
		switch d.Cmd {
		case "truncate":
			return b[:len(b)-n]
		case "flip":
			b[n] ^= 0x10
			return b
		}
		tail := make([]byte, n)
		if !d.HasArg("zeros") {
			for i := range tail {
				tail[i] = byte(i*31 + 7)
			}
		}
		return append(b, tail...)
	})
}
