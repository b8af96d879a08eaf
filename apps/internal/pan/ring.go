package pan

import (
	"cmp"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/riffle-stream/riffle/apps/internal/secretfile"
)

// EnvKeys is the environment variable that may hold the keys, in the form of a file of keys.
const EnvKeys = "RIFFLE_CARD_KEYS"

const (
	keyBytes = 32 // of SHA-256
	// tagBytes is how much of the hash a token has. 128 bits are the least that RFC 2104 recommends; two of a billion cards
	// have the same with a probability of 1 in 10^21.
	tagBytes    = 16
	tokenPrefix = "card_"
)

// ErrNoKeys means that a card number came, and there is no key to make a token with.
var ErrNoKeys = errors.New("pan: a card number, and no key to make a token of it: give a file of keys, or " + EnvKeys)

// Ring is a set of keys by version. A nil Ring has no keys.
type Ring struct {
	keys []key // ascending by version; the last one makes tokens
}

type key struct {
	version byte
	secret  []byte
}

// ParseKeys reads a file of keys: lines of VERSION = KEY with a version from 1 to 255 and 32 bytes in base64. Blank lines, and those
// that begin with #, do not count. The highest version makes new tokens. Errors quote no keys.
func ParseKeys(text []byte) (*Ring, error) {
	pairs, err := secretfile.Pairs(text)
	if err != nil {
		return nil, fmt.Errorf("pan: keys: %w", err)
	}
	r := &Ring{}
	var errs []error
	for _, p := range pairs {
		k, err := parseKey(p)
		if err == nil && slices.ContainsFunc(r.keys, func(other key) bool { return other.version == k.version }) {
			err = fmt.Errorf("version %d is there twice", k.version)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("pan: keys: line %d: %w", p.Line, err))
			continue
		}
		r.keys = append(r.keys, k)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if len(r.keys) == 0 {
		return nil, errors.New("pan: there are no keys: want a line such as 1 = (32 bytes in base64)")
	}
	slices.SortFunc(r.keys, func(a, b key) int { return cmp.Compare(a.version, b.version) })
	return r, nil
}

func parseKey(p secretfile.Pair) (key, error) {
	version, err := strconv.ParseUint(p.Name, 10, 8)
	if err != nil || version == 0 {
		return key{}, errors.New("want VERSION = KEY, with a version from 1 to 255")
	}
	secret, err := base64.StdEncoding.DecodeString(p.Value)
	if err != nil || len(secret) != keyBytes {
		return key{}, fmt.Errorf("the key of version %d is not %d bytes in base64", version, keyBytes)
	}
	return key{byte(version), secret}, nil
}

// LoadKeys reads a file of keys, which nobody but its owner may read.
func LoadKeys(file string) (*Ring, error) {
	text, err := secretfile.Read(file)
	if err != nil {
		return nil, fmt.Errorf("pan: keys: %w", err)
	}
	r, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// Config says where a program may have its keys. The first of these that is set counts: File, the environment variable EnvKeys, Dir,
// Temporary.
type Config struct {
	// File is a file of keys.
	File string
	// Dir is a directory of the program's own. The keys lie in its file card-keys, which is made, mode 0600, if it is missing.
	Dir string
	// Temporary makes a key that ends with the program, for what does not outlive it either.
	Temporary bool
}

// FindKeys returns the keys that a configuration leads to. If it leads nowhere, the Ring has none.
func FindKeys(cfg Config) (*Ring, error) {
	switch text := os.Getenv(EnvKeys); {
	case cfg.File != "":
		return LoadKeys(cfg.File)
	case text != "":
		r, err := ParseKeys([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", EnvKeys, err)
		}
		return r, nil
	case cfg.Dir != "":
		file := filepath.Join(cfg.Dir, "card-keys")
		first := "1 = " + base64.StdEncoding.EncodeToString(newSecret()) + "\n"
		if _, err := secretfile.Create(file, []byte(first)); err != nil {
			return nil, fmt.Errorf("pan: make a key: %w", err)
		}
		return LoadKeys(file)
	case cfg.Temporary:
		return &Ring{keys: []key{{1, newSecret()}}}, nil
	}
	return nil, nil
}

func newSecret() []byte {
	secret := make([]byte, keyBytes)
	_, _ = rand.Read(secret) // it never fails
	return secret
}

// Token returns what stands for a card in topics and state. Equal cards have equal tokens as long as the newest key is the same. It fails
// with ErrNoKeys.
func (r *Ring) Token(p PAN) (string, error) {
	if r == nil || len(r.keys) == 0 {
		return "", ErrNoKeys
	}
	return r.keys[len(r.keys)-1].token(p), nil
}

// Tokens returns the tokens of a card under all keys, the newest first: what was written before a key came is found by its older ones.
func (r *Ring) Tokens(p PAN) ([]string, error) {
	if r == nil || len(r.keys) == 0 {
		return nil, ErrNoKeys
	}
	var tokens []string
	for _, k := range slices.Backward(r.keys) {
		tokens = append(tokens, k.token(p))
	}
	return tokens, nil
}

// token is the prefix, then version and tag in base64.
func (k key) token(p PAN) string {
	mac := hmac.New(sha256.New, k.secret)
	mac.Write([]byte(*p.digits))
	tag := mac.Sum(make([]byte, 0, sha256.Size))[:tagBytes]
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(append([]byte{k.version}, tag...))
}
