package scram

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// maxNameBytes limits the names of users, maxNonceBytes the client's part of the
// nonce.
const (
	maxNameBytes  = 256
	maxNonceBytes = 256
)

// Errors of Step. They say nothing of what the client sent: it may be a password in
// the wrong place.
var (
	// ErrMessage means that a message is not one of SCRAM, or asks for something
	// that is not offered: channel binding, an extension, or another identity than
	// its own.
	ErrMessage = errors.New("scram: bad message")
	// ErrProof means that the client does not know the password.
	ErrProof = errors.New("scram: wrong user or password")
)

// Exchange is one login: the client's first message, the challenge, the client's
// proof, and the server's signature. It is not safe for concurrent use.
type Exchange struct {
	mechanism Mechanism
	lookup    func(name string) Verifier
	nonce     string // the server's part
	steps     int

	user        string
	verifier    Verifier
	clientNonce string
	header      string // gs2-header
	firstBare   string // client-first-message-bare of RFC 5802
	challenge   string // server-first-message
}

// NewExchange begins a login. lookup returns the verifier of a user; for one that
// does not exist it returns a Decoy. nonce is the server's part of the nonce, printable
// and without commas, never the same twice; Nonce draws one.
func NewExchange(m Mechanism, lookup func(name string) Verifier, nonce string) *Exchange {
	return &Exchange{mechanism: m, lookup: lookup, nonce: nonce}
}

// Nonce draws the server's part of a nonce.
func Nonce() string {
	var b [24]byte
	_, _ = rand.Read(b[:]) // never fails: it would end the program
	return base64.StdEncoding.EncodeToString(b[:])
}

// Step takes the client's next message and returns the answer. The login is over
// when done or err says so; once done, User has proved who it is.
func (e *Exchange) Step(message []byte) (answer []byte, done bool, err error) {
	e.steps++
	switch e.steps {
	case 1:
		answer, err = e.first(string(message))
		return answer, false, err
	case 2:
		answer, err = e.final(string(message))
		return answer, err == nil, err
	}
	return nil, false, fmt.Errorf("%w: the login is over", ErrMessage)
}

// User is the name that the client gave, once the first step is done.
func (e *Exchange) User() string { return e.user }

// first reads n,[a=NAME],n=NAME,r=NONCE[,extensions]. What the extensions say is left
// alone, as in Kafka.
func (e *Exchange) first(message string) (challenge []byte, err error) {
	flag, rest, _ := strings.Cut(message, ",")
	identity, bare, _ := strings.Cut(rest, ",")
	if flag != "n" {
		return nil, fmt.Errorf("%w: channel binding is not offered", ErrMessage)
	}
	name, nonce, ok := strings.Cut(bare, ",")
	name, named := strings.CutPrefix(name, "n=")
	user, decoded := decodeName(name)
	nonce, _, _ = strings.Cut(nonce, ",")
	nonce, nonced := strings.CutPrefix(nonce, "r=")
	switch {
	case !ok || !named || !nonced:
		return nil, fmt.Errorf("%w: not a first message", ErrMessage)
	case !decoded || user == "" || len(user) > maxNameBytes:
		return nil, fmt.Errorf("%w: a bad user name of %d bytes, want 1 to %d", ErrMessage, len(user), maxNameBytes)
	case identity != "" && identity != "a="+name:
		return nil, fmt.Errorf("%w: a user may not act for another", ErrMessage)
	case !printable(nonce) || len(nonce) > maxNonceBytes:
		return nil, fmt.Errorf("%w: a bad nonce of %d bytes, want 1 to %d", ErrMessage, len(nonce), maxNonceBytes)
	}
	e.user, e.verifier = user, e.lookup(user)
	e.header, e.firstBare, e.clientNonce = flag+","+identity+",", bare, nonce
	e.challenge = fmt.Sprintf("r=%s,s=%s,i=%d", nonce+e.nonce, base64.StdEncoding.EncodeToString(e.verifier.Salt), e.verifier.Iterations)
	return []byte(e.challenge), nil
}

// final reads c=HEADER,r=NONCE[,extensions],p=PROOF and returns v=SIGNATURE.
func (e *Exchange) final(message string) (signature []byte, err error) {
	at := strings.LastIndex(message, ",p=")
	if at < 0 {
		return nil, fmt.Errorf("%w: not a final message", ErrMessage)
	}
	unproved := message[:at]
	proof, err := base64.StdEncoding.DecodeString(message[at+len(",p="):])
	channel, rest, _ := strings.Cut(unproved, ",")
	nonce, _, _ := strings.Cut(rest, ",")
	nonce, nonced := strings.CutPrefix(nonce, "r=")
	switch size := e.mechanism.size(); {
	case err != nil || len(proof) != size || !nonced:
		return nil, fmt.Errorf("%w: not a final message", ErrMessage)
	case channel != "c="+base64.StdEncoding.EncodeToString([]byte(e.header)):
		return nil, fmt.Errorf("%w: other channel data than in the first message", ErrMessage)
	case !e.isNonce(nonce):
		return nil, fmt.Errorf("%w: another nonce than the challenge has", ErrMessage)
	}
	signed := e.firstBare + "," + e.challenge + "," + unproved
	clientKey := mac(e.mechanism, e.verifier.StoredKey, signed)
	subtle.XORBytes(clientKey, clientKey, proof)
	stored := e.mechanism.hash()()
	stored.Write(clientKey)
	if !hmac.Equal(stored.Sum(nil), e.verifier.StoredKey) { // in constant time
		return nil, ErrProof
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(e.mechanism, e.verifier.ServerKey, signed))), nil
}

// isNonce reports whether the client repeats the nonce of the challenge. librdkafka
// before 2.6.1 puts its own part before it once more (librdkafka#4895): the server's
// part is there all the same, and the proof covers it.
func (e *Exchange) isNonce(nonce string) bool {
	want := e.clientNonce + e.nonce
	return nonce == want || nonce == e.clientNonce+want
}

// decodeName undoes the escapes of a name: =2C is a comma, =3D an equals sign, and
// there are no others.
func decodeName(s string) (name string, ok bool) {
	var b strings.Builder
	for {
		before, after, escaped := strings.Cut(s, "=")
		b.WriteString(before)
		switch {
		case !escaped:
			return b.String(), true
		case strings.HasPrefix(after, "2C"):
			b.WriteByte(',')
		case strings.HasPrefix(after, "3D"):
			b.WriteByte('=')
		default:
			return "", false
		}
		s = after[2:]
	}
}

// printable reports whether s is a part of a nonce: visible ASCII without commas.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < '!' || s[i] > '~' || s[i] == ',' {
			return false
		}
	}
	return s != ""
}
