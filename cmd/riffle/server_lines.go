package main

import (
	"io"
	"os"
	"strings"
)

// maxConfigBytes keeps a mistyped name from reading a disk.
const maxConfigBytes = 1 << 20

// configLine is a line of name = value in a file that a flag names.
type configLine struct {
	number      int
	text        string // without the blanks around it
	name, value string // the same
	ok          bool   // there is a "="
}

// readSmallFile reads the file that a flag names; kind says in messages what it should be.
func readSmallFile(flag, path, kind string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", usagef("--%s: %w", flag, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	switch {
	case err != nil:
		return "", usagef("--%s: %w", flag, err)
	case len(text) > maxConfigBytes:
		return "", usagef("--%s: %s has more than %d bytes: it is no file of %s", flag, path, maxConfigBytes, kind)
	}
	return string(text), nil
}

// configLines parses lines of name = value; empty ones and # comments are left out.
func configLines(text string) []configLine {
	var lines []configLine
	number := 0
	for text := range strings.Lines(text) {
		number++
		l := configLine{number: number, text: strings.TrimSpace(text)}
		if l.text == "" || l.text[0] == '#' {
			continue
		}
		l.name, l.value, l.ok = strings.Cut(l.text, "=")
		l.name, l.value = strings.TrimSpace(l.name), strings.TrimSpace(l.value)
		lines = append(lines, l)
	}
	return lines
}
