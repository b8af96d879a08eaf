package pantest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Leak is a place where a number was found. It does not name the number.
type Leak struct {
	Where  string // a file, or what the bytes were called
	Offset int
	Form   string // how the number is written there
}

func (l Leak) String() string {
	return fmt.Sprintf("%s: a card number, %s, at byte %d", l.Where, l.Form, l.Offset)
}

// Scanner looks for certain numbers. It is immutable.
type Scanner struct{ needles []needle }

type needle struct {
	form string
	text []byte
}

// New returns a scanner for numbers, which consist of digits only.
func New(numbers ...string) *Scanner {
	s := &Scanner{}
	for _, n := range numbers {
		s.add("plain", n)
		s.add("in groups", groups(n, ' '), groups(n, '-'))
		s.add("in hexadecimal", hex.EncodeToString([]byte(n)), strings.ToUpper(hex.EncodeToString([]byte(n))))
		s.add("in decimal bytes", decimalBytes(n, " "), decimalBytes(n, ", "), decimalBytes(n, ","))
		s.add("in base64", base64Forms(n)...)
		s.add("in UTF-16", spread(n, 0, 1), spread(n, 1, 0))
		s.add("packed", packed(n)...)
		if v, err := strconv.ParseUint(n, 10, 64); err == nil {
			s.add("as a number", string(binary.BigEndian.AppendUint64(nil, v)), string(binary.LittleEndian.AppendUint64(nil, v)),
				string(binary.AppendUvarint(nil, v)), string(binary.AppendVarint(nil, int64(v))))
			s.add("as a hexadecimal number", fmt.Sprintf("%x", v), fmt.Sprintf("%X", v))
		}
	}
	return s
}

func (s *Scanner) add(form string, texts ...string) {
	for _, text := range texts {
		s.needles = append(s.needles, needle{form, []byte(text)})
	}
}

// groups writes a number in groups of four.
func groups(n string, separator byte) string {
	var b []byte
	for i := range len(n) {
		if i > 0 && i%4 == 0 {
			b = append(b, separator)
		}
		b = append(b, n[i])
	}
	return string(b)
}

// decimalBytes is how fmt writes a slice of bytes.
func decimalBytes(n, separator string) string {
	var parts []string
	for _, c := range []byte(n) {
		parts = append(parts, strconv.Itoa(int(c)))
	}
	return strings.Join(parts, separator)
}

// base64Forms are what base64 makes of a number within a longer text: one form for each place that it can have in a group of three bytes,
// without the characters at its ends, which neighbours have a part in. Digits have neither + nor / in any alphabet.
func base64Forms(n string) (forms []string) {
	for before := range 3 {
		text := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("0", before) + n))
		start := (before*8 + 5) / 6
		end := (before + len(n)) * 8 / 6
		forms = append(forms, text[start:end])
	}
	return forms
}

// spread puts zero bytes between the digits.
func spread(n string, before, after int) string {
	var b []byte
	for _, c := range []byte(n) {
		b = append(append(append(b, make([]byte, before)...), c), make([]byte, after)...)
	}
	return string(b)
}

// packed is binary coded decimal, two digits in a byte, from either nibble on; of the latter without the half bytes at the ends.
func packed(n string) (forms []string) {
	for _, digits := range []string{n, n[1:]} {
		b, err := hex.DecodeString(digits[:len(digits)&^1])
		if err == nil {
			forms = append(forms, string(b))
		}
	}
	return forms
}

// Bytes looks into bytes, which are called where in what it finds.
func (s *Scanner) Bytes(where string, b []byte) (leaks []Leak) {
	for _, n := range s.needles {
		if at := bytes.Index(b, n.text); at >= 0 {
			leaks = append(leaks, Leak{where, at, n.form})
		}
	}
	return leaks
}

// Dir looks into all files below a directory, and at their names. It returns how many bytes it read.
func (s *Scanner) Dir(dir string) (leaks []Leak, read int64, err error) {
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		leaks = append(leaks, s.Bytes("the name of "+path, []byte(entry.Name()))...)
		if !entry.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		read += int64(len(b))
		leaks = append(leaks, s.Bytes(path, b)...)
		return err
	})
	return leaks, read, err
}
