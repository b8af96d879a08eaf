package main

import (
	"bufio"
	"context"
	"encoding/json/v2"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/riffle-stream/riffle/apps/frauddetect/rules"
	"github.com/riffle-stream/riffle/apps/internal/progress"
	"github.com/riffle-stream/riffle/stream"
)

// found counts the alerts in the topic.
type found struct {
	ByRule map[string]int64 `json:"byRule"`
}

func (f found) total() (n int64) {
	for _, of := range f.ByRule {
		n += of
	}
	return n
}

// readAlerts counts the alerts in the topic and writes each to w, if that is not nil: one JSON object a line,
// ordered by the partition and the offset of the payment.
func readAlerts(ctx context.Context, cluster *stream.Cluster, w io.Writer) (found, error) {
	f := found{ByRule: make(map[string]int64)}
	for _, rule := range rules.Names() {
		f.ByRule[rule] = 0
	}
	var line []byte
	for r, err := range cluster.Read(ctx, Alerts) {
		if err != nil {
			return f, err
		}
		f.ByRule[r.Value.Rule]++
		if w == nil {
			continue
		}
		if line, err = Alerts.Value.Encode(line[:0], r.Value); err != nil {
			return f, err
		}
		if _, err := w.Write(append(line, '\n')); err != nil {
			return f, err
		}
	}
	return f, nil
}

// writeAlerts is readAlerts into a file.
func writeAlerts(ctx context.Context, cluster *stream.Cluster, path string) (f found, err error) {
	if path == "" {
		return readAlerts(ctx, cluster, nil)
	}
	err = writeFile(path, func(w io.Writer) error {
		f, err = readAlerts(ctx, cluster, w)
		return err
	})
	if err != nil {
		return f, fmt.Errorf("write the alerts: %w", err)
	}
	return f, nil
}

// writeFile replaces a file by what write writes.
func writeFile(path string, write func(io.Writer) error) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriterSize(file, 64<<10)
	if err := write(w); err != nil {
		return err
	}
	return w.Flush()
}

// herald shows alerts as they are found: the first ones, and then one a second. Tasks call it in parallel.
type herald struct {
	display *progress.Display
	count   atomic.Int64

	mu struct {
		sync.Mutex
		shown int
		next  time.Time
	}
}

// firstAlerts are shown whatever the time.
const firstAlerts = 5

func (h *herald) seen(a rules.Alert) {
	h.count.Add(1)
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.mu.shown < firstAlerts || now.After(h.mu.next) {
		h.mu.shown++
		h.mu.next = now.Add(time.Second)
		h.display.Println("alert " + a.String())
	}
}

// writeReport writes the summary as JSON.
func writeReport(path string, s summary) error {
	if path == "" {
		return nil
	}
	err := writeFile(path, func(w io.Writer) error { return json.MarshalWrite(w, s) })
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
