package httpapi

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"

	"github.com/riffle-stream/riffle/apps/internal/secretfile"
)

// minToken is the shortest token, in bytes: those that are made have 26, of 5 bits each.
const minToken = 20

// tokens says who has which token. It holds their sums only.
type tokens []token

type token struct {
	name string
	sum  [sha256.Size]byte
}

// openTokens reads the tokens, and makes the first one if need be. made is the file that it made, if it did.
func openTokens(file, dir string) (t tokens, made string, err error) {
	if file == "" && dir == "" {
		return nil, "", errors.New("httpapi: no tokens: give --token-file, or --dir for a place to keep them")
	}
	if file == "" {
		file = filepath.Join(dir, "api-tokens")
		ok, err := secretfile.Create(file, []byte("admin = "+rand.Text()+"\n"))
		if err != nil {
			return nil, "", fmt.Errorf("httpapi: make a token: %w", err)
		}
		if ok {
			made = file
		}
	}
	text, err := secretfile.Read(file)
	if err != nil {
		return nil, "", fmt.Errorf("httpapi: tokens: %w", err)
	}
	if t, err = parseTokens(text); err != nil {
		return nil, "", fmt.Errorf("httpapi: tokens in %s: %w", file, err)
	}
	return t, made, nil
}

func parseTokens(text []byte) (t tokens, err error) {
	pairs, err := secretfile.Pairs(text)
	if err != nil {
		return nil, err
	}
	for _, p := range pairs {
		if len(p.Value) < minToken {
			return nil, fmt.Errorf("line %d: a token of less than %d bytes can be guessed: openssl rand -hex 16 makes one", p.Line, minToken)
		}
		t = append(t, token{p.Name, sha256.Sum256([]byte(p.Value))})
	}
	if len(t) == 0 {
		return nil, errors.New("there are none: want a line such as admin = (a random text)")
	}
	return t, nil
}

// user returns whose token a request has. It takes the same time for all tokens that are wrong.
func (t tokens) user(r *http.Request) (name string, ok bool) {
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	sum := sha256.Sum256([]byte(strings.TrimSpace(given)))
	for _, token := range t {
		if subtle.ConstantTimeCompare(sum[:], token.sum[:]) == 1 {
			name, ok = token.name, strings.EqualFold(scheme, "Bearer")
		}
	}
	return name, ok
}

type userKey struct{}

// User is the name whose token the request came with.
func User(ctx context.Context) string {
	name, _ := ctx.Value(userKey{}).(string)
	return name
}
