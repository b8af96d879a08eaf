package pantest

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json/v2"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

const number = "5105105105105100"

// Every form in which a program may write a number down is found, wherever it lies in a text.
func TestForms(t *testing.T) {
	t.Parallel()
	s := New("4111111111111111", number, "378282246310005")
	inJSON, err := json.Marshal(map[string]string{"card": number})
	if err != nil {
		t.Fatal(err)
	}
	utf := func(order binary.AppendByteOrder) []byte {
		b := make([]byte, 0, 64)
		for _, u := range utf16.Encode([]rune("card " + number)) {
			b = order.AppendUint16(b, u)
		}
		return b
	}
	for name, b := range map[string][]byte{
		"plain":            []byte("card " + number + "!"),
		"json":             inJSON,
		"spaces":           []byte("5105 1051 0510 5100"),
		"dashes":           []byte("x5105-1051-0510-5100x"),
		"amex in groups":   []byte("3782 8224 6310 005"),
		"url":              []byte("/cards?pan=" + url.QueryEscape(number)),
		"hex":              []byte(hex.EncodeToString([]byte("a" + number + "b"))),
		"HEX":              fmt.Appendf(nil, "%X", number),
		"bytes":            fmt.Append(nil, []byte("a"+number)),
		"go bytes":         fmt.Appendf(nil, "%d", []byte(number)),
		"number":           binary.BigEndian.AppendUint64([]byte("x"), 5105105105105100),
		"number, little":   binary.LittleEndian.AppendUint64([]byte("x"), 5105105105105100),
		"varint":           binary.AppendVarint([]byte("x"), 5105105105105100),
		"uvarint":          binary.AppendUvarint([]byte("x"), 5105105105105100),
		"hex number":       fmt.Appendf(nil, "0x%x", int64(5105105105105100)),
		"UTF-16, little":   utf(binary.LittleEndian),
		"UTF-16, big":      utf(binary.BigEndian),
		"packed":           {0x01, 0x51, 0x05, 0x10, 0x51, 0x05, 0x10, 0x51, 0x00, 0x99},
		"packed, shifted":  {0x05, 0x10, 0x51, 0x05, 0x10, 0x51, 0x05, 0x10, 0x09},
		"base64 at 0":      base64.StdEncoding.AppendEncode(nil, []byte(number+"xy")),
		"base64 at 1":      base64.URLEncoding.AppendEncode(nil, []byte("x"+number+"xy")),
		"base64 at 2":      base64.RawStdEncoding.AppendEncode(nil, []byte("xy"+number+"xy")),
		"base64 of a JSON": base64.StdEncoding.AppendEncode(nil, inJSON),
	} {
		if leaks := s.Bytes(name, b); len(leaks) == 0 {
			t.Errorf("%s: not found in %q", name, b)
		}
	}
}

func TestNothingFound(t *testing.T) {
	t.Parallel()
	s := New("4111111111111111", number)
	for _, text := range []string{"", "510510******5100", "5105 1051 0510 5101", "card_AXt-bLJxXHscNxEPA1Ejq9M", strings.Repeat("0", 100)} {
		if leaks := s.Bytes("text", []byte(text)); leaks != nil {
			t.Errorf("in %q: %v", text, leaks)
		}
	}
}

func TestDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a/clean", strings.Repeat("x", 1000))
	s := New(number)
	if leaks, read, err := s.Dir(dir); err != nil || leaks != nil || read != 1000 {
		t.Fatalf("a clean directory: %v, %d bytes, %v", leaks, read, err)
	}
	write("a/b/segment", "xx"+number)
	write(number+".log", "")
	leaks, _, err := s.Dir(dir)
	if err != nil || len(leaks) != 2 {
		t.Fatalf("a number in a file and one in a name: %v, %v", leaks, err)
	}
	for _, l := range leaks {
		if strings.Contains(l.Form, number) {
			t.Errorf("the leak tells the number: %v", l)
		}
	}
}
