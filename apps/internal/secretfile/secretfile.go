package secretfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Read reads a file, and refuses one that others than its owner can read.
func Read(file string) ([]byte, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("secretfile: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("secretfile: others than its owner can read %s: chmod 600 %s", file, file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("secretfile: %w", err)
	}
	return b, nil
}

// Create makes a file, mode 0600, with its directories, and reports whether it did: a file that exists stays as it is. The file appears
// whole or not at all.
func Create(file string, text []byte) (made bool, err error) {
	if _, err := os.Stat(file); err == nil {
		return false, nil
	}
	dir := filepath.Dir(file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, fmt.Errorf("secretfile: %w", err)
	}
	temp, err := os.CreateTemp(dir, "."+filepath.Base(file)+"-") // mode 0600
	if err != nil {
		return false, fmt.Errorf("secretfile: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(temp.Name())) }()
	_, err = temp.Write(text)
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return false, fmt.Errorf("secretfile: %w", err)
	}
	err = os.Link(temp.Name(), file) // unlike a rename, it replaces nothing
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("secretfile: %w", err)
	}
	return true, nil
}

// Pair is a line of a file.
type Pair struct {
	Line        int // from 1
	Name, Value string
}

// Pairs takes lines of NAME = VALUE apart. Blank lines, and those that begin with #, do not count. Its errors quote no value.
func Pairs(text []byte) (pairs []Pair, err error) {
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name, value = strings.TrimSpace(name), strings.TrimSpace(value); !ok || name == "" || value == "" {
			return nil, fmt.Errorf("line %d: want NAME = VALUE", n)
		}
		pairs = append(pairs, Pair{n, name, value})
	}
	return pairs, lines.Err()
}
