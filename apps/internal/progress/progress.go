package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Config says how often the line is shown. The zero value is a working configuration.
type Config struct {
	// Terminal says that w can write over a line. See IsTerminal.
	Terminal bool
	// TerminalEvery is how often the line is written over. The default is 250 ms.
	TerminalEvery time.Duration
	// Every is how often a line is written elsewhere. The default is 2 s.
	Every time.Duration
}

func (c Config) withDefaults() Config {
	if c.TerminalEvery <= 0 {
		c.TerminalEvery = 250 * time.Millisecond
	}
	if c.Every <= 0 {
		c.Every = 2 * time.Second
	}
	return c
}

const (
	startOfLine = "\r"
	clearToEnd  = "\x1b[K"
)

// Display shows a live line.
type Display struct {
	w    io.Writer
	cfg  Config
	line func() string
	stop chan struct{}
	done chan struct{}

	mu struct {
		sync.Mutex
		shown bool // the cursor stands behind the live line
	}
}

// Start shows what line returns from now on, until Stop. A write that fails is not reported: there is nowhere to.
func Start(w io.Writer, cfg Config, line func() string) *Display {
	d := &Display{w: w, cfg: cfg.withDefaults(), line: line, stop: make(chan struct{}), done: make(chan struct{})}
	go d.run()
	return d
}

func (d *Display) run() {
	defer close(d.done)
	every := d.cfg.Every
	if d.cfg.Terminal {
		every = d.cfg.TerminalEvery
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			d.show()
		case <-d.stop:
			return
		}
	}
}

func (d *Display) show() {
	text := d.line()
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.cfg.Terminal {
		fmt.Fprintln(d.w, text)
		return
	}
	fmt.Fprint(d.w, startOfLine, text, clearToEnd)
	d.mu.shown = true
}

// Println writes a message above the live line.
func (d *Display) Println(text string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clearLocked()
	fmt.Fprintln(d.w, text)
}

// Write writes whole lines above the live line: a Display can take a logger's output.
func (d *Display) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clearLocked()
	return d.w.Write(p)
}

func (d *Display) clearLocked() {
	if d.mu.shown {
		fmt.Fprint(d.w, startOfLine, clearToEnd)
		d.mu.shown = false
	}
}

// Stop ends the live line and removes it. Messages can still be written. It must be called once.
func (d *Display) Stop() {
	close(d.stop)
	<-d.done
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clearLocked()
}

// IsTerminal reports whether a file is a terminal that can write over a line.
func IsTerminal(f *os.File) bool {
	if term := os.Getenv("TERM"); term == "" || term == "dumb" {
		return false
	}
	info, err := f.Stat()
	// The null device is a character device too; what is written there does not matter.
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
