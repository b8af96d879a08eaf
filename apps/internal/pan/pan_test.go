package pan

import (
	"bytes"
	jsonv1 "encoding/json"
	"encoding/json/v2"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// A test number of a network; it belongs to nobody.
const visa = "4111111111111111"

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]error{
		visa:                   nil,
		"4111 1111 1111 1111":  nil,
		"4111-1111-1111-1111":  nil,
		"378282246310005":      nil,
		"6304000000000000000":  nil,
		"4222222222222":        nil,
		"4111111111111112":     ErrCheckDigit,
		"4111  1111 1111 1111": ErrDigits,
		" 4111111111111111":    ErrDigits,
		"4111111111111111-":    ErrDigits,
		"411111111111":         ErrDigits,
		"41111111111111111111": ErrDigits,
		"4111.1111.1111.1111":  ErrDigits,
		"":                     ErrDigits,
		"４１１１１１１１１１１１１１１１": ErrDigits,
	} {
		p, err := Parse(text)
		if !errors.Is(err, want) || (err == nil) == p.IsZero() {
			t.Errorf("Parse(%q) = %v, %v, want error %v", text, p, err, want)
		}
	}
}

// The check digit finds each wrong digit, and each number has exactly one.
func TestCheckDigit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		number := []byte(rapid.StringMatching(`[0-9]{12,18}`).Draw(t, "number"))
		right := 0
		for d := byte('0'); d <= '9'; d++ {
			if luhn(append(number, d)) {
				right++
				number = append(number, d)
				at := rapid.IntRange(0, len(number)-1).Draw(t, "at")
				wrong := bytes.Clone(number)
				wrong[at] = '0' + (wrong[at]-'0'+byte(rapid.IntRange(1, 9).Draw(t, "by")))%10
				if luhn(wrong) {
					t.Fatalf("%s and %s both have a right check digit", number, wrong)
				}
				number = number[:len(number)-1]
			}
		}
		if right != 1 {
			t.Fatalf("%s has %d check digits", number, right)
		}
	})
}

func TestWithCheckDigit(t *testing.T) {
	t.Parallel()
	if got := WithCheckDigit(visa[:15]); got != visa {
		t.Errorf("the number is %s, want %s", got, visa)
	}
}

// However a card number is printed, within whatever, only its masked form comes out.
func TestNoWayOut(t *testing.T) {
	t.Parallel()
	p, err := Parse(visa)
	if err != nil {
		t.Fatal(err)
	}
	type exported struct{ Card PAN }
	type hidden struct {
		card PAN
		many []PAN
	}
	var out bytes.Buffer
	values := []any{p, &p, []PAN{p}, map[string]PAN{"k": p}, map[PAN]int{p: 1}, exported{p}, &exported{p}, hidden{p, []PAN{p}}, &hidden{p, []PAN{p}}}
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%T", "%p", "%20v"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		fmt.Fprintln(&out, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "v", v)
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if b, err := jsonv1.Marshal(v); err == nil {
			out.Write(b)
		}
	}
	fmt.Fprintln(&out, fmt.Errorf("card %v: %w", p, ErrCheckDigit))
	for _, form := range []string{visa, fmt.Sprintf("%x", visa), fmt.Sprintf("%X", visa), "49 49 49 49", "0x31, 0x31", "NDExMTExMTExMTExMTEx"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the number comes out as %s", form)
		}
	}
	if !strings.Contains(out.String(), "411111******1111") {
		t.Error("the masked form does not come out")
	}
	var zero PAN
	if got := fmt.Sprint(zero); got != "" {
		t.Errorf("no number prints as %q", got)
	}
}

func TestUnmarshal(t *testing.T) {
	t.Parallel()
	var in struct{ Card PAN }
	if err := json.Unmarshal([]byte(`{"Card":"4111 1111 1111 1111"}`), &in); err != nil || in.Card.String() != "411111******1111" {
		t.Errorf("decoded %v, %v", in.Card, err)
	}
	if err := json.Unmarshal([]byte(`{"Card":"4111 1111 1111 1112"}`), &in); !errors.Is(err, ErrCheckDigit) {
		t.Errorf("error = %v, want %v", err, ErrCheckDigit)
	}
}

const (
	key1 = "1 = MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	key2 = "2 = ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
)

const (
	wantToken1 = "card_AXt-bLJxXHscNxEPA1Ejq9M"
	wantToken2 = "card_An1J3sz-68JJvciohqyZYsw"
)

func keys(t *testing.T, lines ...string) *Ring {
	t.Helper()
	r, err := ParseKeys([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The tokens are written in topics: they must never change for a key. The expected ones are those of
// printf 4111111111111111 | openssl mac -macopt hexkey:… -digest SHA256 HMAC.
func TestTokens(t *testing.T) {
	t.Parallel()
	p, _ := Parse("4111 1111 1111 1111")
	first, second := keys(t, key1), keys(t, "# rotated", key2, "", key1)
	got1, err1 := first.Token(p)
	got2, err2 := second.Token(p)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{wantToken1, wantToken2}, []string{got1, got2}); diff != "" {
		t.Errorf("tokens (-want +got)\n%s", diff)
	}
	all, err := second.Tokens(p)
	if diff := cmp.Diff([]string{got2, got1}, all); diff != "" || err != nil {
		t.Errorf("after the rotation the card is found by (-want +got)\n%s%v", diff, err)
	}
	var none *Ring
	if _, err := none.Token(p); !errors.Is(err, ErrNoKeys) {
		t.Errorf("without keys: %v", err)
	}
}

func TestEdge(t *testing.T) {
	t.Setenv(EnvKeys, key1)
	e := NewEdge(Config{})
	for field, want := range map[string]string{
		visa: wantToken1, "4111-1111-1111-1111": wantToken1,
		"17": "17", "customer-9": "customer-9", "": "", wantToken1: wantToken1,
	} {
		if got, err := e.Card(field); got != want || err != nil {
			t.Errorf("Card(%q) = %q, %v, want %q", field, got, err, want)
		}
	}
	if got, err := e.Card("4111111111111112"); err != nil || !strings.HasPrefix(got, tokenPrefix) {
		t.Errorf("a mistyped number becomes %q, %v, want a token", got, err)
	}
	t.Setenv(EnvKeys, "")
	none := NewEdge(Config{})
	if got, err := none.Card("17"); got != "17" || err != nil {
		t.Errorf("without keys a customer's number becomes %q, %v", got, err)
	}
	if _, err := none.Card(visa); !errors.Is(err, ErrNoKeys) {
		t.Errorf("a card number without keys: %v", err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	unused := NewEdge(Config{Dir: dir})
	if _, err := unused.Card("17"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key is made before there is a card number: %v", err)
	}
}

func TestKeyMistakes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                      "there are no keys",
		"# nothing":             "there are no keys",
		"0 = " + key1[4:]:       "line 1: want VERSION = KEY, with a version from 1 to 255",
		"256 = " + key1[4:]:     "a version from 1 to 255",
		key1 + "\n" + key1:      "line 2: version 1 is there twice",
		"1 = c2hvcnQ=":          "the key of version 1 is not 32 bytes",
		"3 = secret words here": "the key of version 3 is not 32 bytes",
	} {
		_, err := ParseKeys([]byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), key1[4:]) {
			t.Errorf("ParseKeys(%q) error = %v, want %q and no key", text, err, want)
		}
	}
}

func TestFindKeys(t *testing.T) { // it sets the environment, so it is not parallel
	t.Setenv(EnvKeys, "")
	p, _ := Parse(visa)
	dir := filepath.Join(t.TempDir(), "data")
	made, err := FindKeys(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	again, err := FindKeys(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	token1, _ := made.Token(p)
	token2, _ := again.Token(p)
	if token1 == "" || token1 != token2 {
		t.Errorf("two runs in one directory make the tokens %s and %s", token1, token2)
	}
	file := filepath.Join(dir, "card-keys")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file of keys: %v, %v, want mode 0600", info.Mode(), err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || left != nil {
		t.Errorf("temporary files are left: %v, %v", left, err)
	}
	if other, err := FindKeys(Config{Dir: t.TempDir()}); err != nil {
		t.Error(err)
	} else if token, _ := other.Token(p); token == token1 {
		t.Error("two directories have the same key")
	}

	t.Setenv(EnvKeys, key1)
	fromEnv, err := FindKeys(Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if token, _ := fromEnv.Token(p); token != wantToken1 {
		t.Errorf("the key in %s does not come before that in the directory", EnvKeys)
	}
	named := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(named, []byte(key2), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile, err := FindKeys(Config{File: named, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if token, _ := fromFile.Token(p); token != wantToken2 {
		t.Errorf("the key in the named file does not come first")
	}
	if err := os.Chmod(named, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := FindKeys(Config{File: named, Dir: dir}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a file that others can read: %v", err)
	}
	t.Setenv(EnvKeys, "")
	if random, err := FindKeys(Config{Temporary: true}); err != nil {
		t.Error(err)
	} else if token, err := random.Token(p); err != nil || token == token1 {
		t.Errorf("a temporary key makes the token %s, %v", token, err)
	}
	if none, err := FindKeys(Config{}); none != nil || err != nil {
		t.Errorf("with nowhere to look: %v, %v", none, err)
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"1,4111111111111111,shop,12.50":           "1,****************,shop,12.50",
		"1,4111 1111-1111 1111,shop":              "1,**** ****-**** ****,shop",
		"1,4111111111111112,shop":                 "1,****************,shop", // mistyped
		"a4111111111111111b":                      "a****************b",
		"1594111111111111111":                     "*******************", // with something in front
		"1500000000000,1,1500000000001":           "1500000000000,1,1500000000001",
		"2018-04-01 12:00:00,4111":                "2018-04-01 12:00:00,4111",
		"4111111111111111,378282246310005":        "****************,***************",
		"column 4111111111111111 is not a number": "column **************** is not a number",
		"nothing": "nothing",
	} {
		if got := string(Redact([]byte(text))); got != want {
			t.Errorf("Redact(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestFound(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"the card 4111 1111 1111 1111 is stolen": true,
		"5500-0000-0000-0004":                    true,
		"call 0049 30 123456 78":                 false,
		"4111111111111112":                       false,
		"1500000000000":                          false,
		"99994111111111111111":                   true,
		"":                                       false,
	} {
		if got := Found(text); got != want {
			t.Errorf("Found(%q) = %v, want %v", text, got, want)
		}
	}
}
