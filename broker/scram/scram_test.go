package scram

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	xdg "github.com/xdg-go/scram"
	"pgregory.net/rapid"
)

// rfcVerifier is the user of RFC 7677, section 3.
func rfcVerifier(t testing.TB) Verifier {
	t.Helper()
	salt, _ := hex.DecodeString("5b6d99689d12358eeca04b141236fa81")
	v, err := New(SHA256, "pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// The example of RFC 7677, byte for byte.
func TestExchangeOfTheRFC(t *testing.T) {
	t.Parallel()
	v := rfcVerifier(t)
	e := NewExchange(SHA256, func(string) Verifier { return v }, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
	answer, done, err := e.Step([]byte("n,,n=user,r=rOprNGfwEbeRWgbNEkqO"))
	if want := "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; string(answer) != want || done || err != nil {
		t.Fatalf("first step: %q, %v, %v, want %q", answer, done, err, want)
	}
	answer, done, err = e.Step([]byte("c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; string(answer) != want || !done || err != nil {
		t.Fatalf("second step: %q, %v, %v, want %q", answer, done, err, want)
	}
	if e.User() != "user" {
		t.Errorf("User = %q", e.User())
	}
}

// librdkafka before 2.6.1 repeats its own part of the nonce, and is let in by the
// proof of what it says.
func TestExchangeWithOldLibrdkafka(t *testing.T) {
	t.Parallel()
	v := rfcVerifier(t)
	e := NewExchange(SHA256, func(string) Verifier { return v }, "server")
	challenge, _, err := e.Step([]byte("n,,n=user,r=client"))
	if err != nil {
		t.Fatal(err)
	}
	unproved := "c=biws,r=clientclientserver"
	salted := salted(SHA256, "pencil", v.Salt, v.Iterations)
	proof := mac(SHA256, salted, "Client Key")
	signature := mac(SHA256, v.StoredKey, "n=user,r=client,"+string(challenge)+","+unproved)
	subtle.XORBytes(proof, proof, signature)
	if _, done, err := e.Step([]byte(unproved + ",p=" + base64.StdEncoding.EncodeToString(proof))); !done || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
}

// What is wrong with a login is found, and the error does not repeat what was sent.
func TestExchangeRefuses(t *testing.T) {
	t.Parallel()
	const (
		nonce = "server"
		first = "n,,n=user,r=client"
		proof = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	)
	for _, tc := range []struct {
		name     string
		messages []string
		want     error
	}{
		{"channel binding", []string{"p=tls-unique,,n=user,r=client"}, ErrMessage},
		{"channel binding thought away", []string{"y,,n=user,r=client"}, ErrMessage},
		{"empty", []string{""}, ErrMessage},
		{"PLAIN", []string{"\x00user\x00hunter2,n=,r=,"}, ErrMessage},
		{"PLAIN with commas", []string{"n,hunter2,n=user,r=client"}, ErrMessage},
		{"no name", []string{"n,,n=,r=client"}, ErrMessage},
		{"long name", []string{"n,,n=" + strings.Repeat("u", 300) + ",r=client"}, ErrMessage},
		{"a mandatory extension", []string{"n,,m=hunter2,n=user,r=client"}, ErrMessage},
		{"bad escape", []string{"n,,n=us=er,r=client"}, ErrMessage},
		{"another identity", []string{"n,a=admin,n=user,r=client"}, ErrMessage},
		{"the client's nonce only", []string{first, "c=biws,r=client,p=AAAA"}, ErrMessage},
		{"another nonce", []string{first, "c=biws,r=clientserveR,p=AAAA"}, ErrMessage},
		{"other channel data", []string{first, "c=eSws,r=clientserver,p=AAAA"}, ErrMessage},
		{"proof of the wrong length", []string{first, "c=biws,r=clientserver,p=AAAA"}, ErrMessage},
		{"own nonce alone in front", []string{first, "c=biws,r=clientclient,p=" + proof}, ErrMessage},
		{"nonce of the challenge twice", []string{first, "c=biws,r=clientserverclientserver,p=" + proof}, ErrMessage},
		{"unprintable nonce", []string{"n,,n=user,r=cli\x00ent"}, ErrMessage},
		{"empty nonce", []string{"n,,n=user,r="}, ErrMessage},
		{"long nonce", []string{"n,,n=user,r=" + strings.Repeat("n", 300)}, ErrMessage},
		{"wrong proof", []string{first, "c=biws,r=clientserver,p=" + proof}, ErrProof},
		{"no proof", []string{first, "hunter2"}, ErrMessage},
		{"a third message", []string{first, "c=biws,r=clientserver,p=AAAA", "hunter2"}, ErrMessage},
	} {
		v := rfcVerifier(t)
		e := NewExchange(SHA256, func(string) Verifier { return v }, nonce)
		var (
			done bool
			err  error
		)
		for i, m := range tc.messages {
			_, done, err = e.Step([]byte(m))
			if i == 0 && len(tc.messages) > 1 && err != nil {
				t.Fatalf("%s: the first message: %v", tc.name, err)
			}
		}
		if !errors.Is(err, tc.want) || done {
			t.Errorf("%s: done %v, %v, want %v", tc.name, done, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error %q repeats what was sent", tc.name, err)
		}
	}
}

// A foreign client gets in with its password and with no other, whatever name and
// password are, by both mechanisms, and knows that it talks to the right server.
func TestExchangeModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.SampledFrom(Mechanisms()).Draw(t, "mechanism")
		name := rapid.StringMatching(`[a-z=,ü]{1,20}`).Draw(t, "name")
		password := rapid.StringN(1, 20, 60).Draw(t, "password")
		tried := rapid.OneOf(rapid.Just(password), rapid.StringN(1, 20, 60)).Draw(t, "tried")
		salt := Salt()
		v := derive(m, salted(m, password, salt, 1), salt, 1) // New takes thousands of iterations at least
		if got := v.Matches(tried); got != (tried == password) {
			t.Fatalf("Matches = %v", got)
		}
		asked := ""
		e := NewExchange(m, func(n string) Verifier { asked = n; return v }, Nonce())
		client, err := xdg.HashGeneratorFcn(m.hash()).NewClientUnprepped(name, tried, "")
		if err != nil {
			t.Fatal(err)
		}
		talk := client.WithMinIterations(1).NewConversation()
		message, err := talk.Step("")
		for err == nil && !talk.Done() {
			var answer []byte
			if answer, _, err = e.Step([]byte(message)); err == nil {
				message, err = talk.Step(string(answer))
			}
		}
		if asked != name {
			t.Fatalf("looked for %q, want %q", asked, name)
		}
		if in := err == nil && talk.Valid(); in != (tried == password) {
			t.Fatalf("logged in: %v, %v", in, err)
		}
	})
}

func TestVerifierRefuses(t *testing.T) {
	t.Parallel()
	salt := Salt()
	for _, tc := range []struct {
		name string
		make func() (Verifier, error)
		want error
	}{
		{"mechanism", func() (Verifier, error) { return New(7, "p", salt, 0) }, ErrMechanism},
		{"few iterations", func() (Verifier, error) { return New(SHA256, "p", salt, MinIterations-1) }, ErrIterations},
		{"many iterations", func() (Verifier, error) { return New(SHA256, "p", salt, MaxIterations+1) }, ErrIterations},
		{"no password", func() (Verifier, error) { return New(SHA256, "", salt, 0) }, ErrCredential},
		{"no salt", func() (Verifier, error) { return New(SHA256, "p", nil, 0) }, ErrCredential},
		{"long salt", func() (Verifier, error) { return New(SHA256, "p", make([]byte, 257), 0) }, ErrCredential},
		{"short salted password", func() (Verifier, error) { return FromSalted(SHA512, make([]byte, 32), salt, 4096) }, ErrCredential},
	} {
		if _, err := tc.make(); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	good, err := New(SHA512, "p", salt, 0)
	if err != nil || good.Iterations != DefaultIterations || good.Validate() != nil {
		t.Errorf("a good one: %+v, %v", good, err)
	}
	bad := good
	bad.StoredKey = good.StoredKey[1:]
	if err := bad.Validate(); !errors.Is(err, ErrCredential) {
		t.Errorf("a key cut short: %v", err)
	}
}

// A decoy looks like a verifier, stays the same, and lets nobody in.
func TestDecoy(t *testing.T) {
	t.Parallel()
	secret := []byte("secret")
	for _, m := range Mechanisms() {
		a, again, b := Decoy(m, secret, "a"), Decoy(m, secret, "a"), Decoy(m, secret, "b")
		if diff := cmp.Diff(a, again); diff != "" {
			t.Errorf("%s: not the same twice:\n%s", m, diff)
		}
		if slices.Equal(a.Salt, b.Salt) || a.Validate() != nil || a.Matches("") || a.Matches("a") {
			t.Errorf("%s: %+v", m, a)
		}
	}
}

// FuzzExchange feeds both messages of a login to the server: no panic, short answers, and
// it ends well only by what the example of the RFC says.
func FuzzExchange(f *testing.F) {
	const (
		first    = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
		unproved = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
		proof    = "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	)
	f.Add([]byte(first), []byte(unproved+",p="+proof))
	f.Add([]byte("n,a=user,n=user,r=rOprNGfwEbeRWgbNEkqO,ext=1"), []byte("c=bixhPXVzZXIs,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,x=y,p="+proof))
	f.Add([]byte("y,,n=us=2Cer=3D,r=a"), []byte("c=eSws,r=a,p="))
	f.Add([]byte("p=tls-unique,,n=user,r=a"), []byte{})
	v := rfcVerifier(f)
	f.Fuzz(func(t *testing.T, one, two []byte) {
		e := NewExchange(SHA256, func(string) Verifier { return v }, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0")
		challenge, done, err := e.Step(one)
		if done || len(challenge) > len(one)+200 {
			t.Fatalf("the first step is done: %v, its answer has %d bytes", done, len(challenge))
		}
		if err != nil {
			return
		}
		_, done, err = e.Step(two)
		if done != (err == nil) {
			t.Fatalf("done %v, %v", done, err)
		}
		if signed, _, _ := strings.Cut(string(two), ",p="); done && (e.firstBare != first[3:] || signed != unproved) {
			t.Errorf("%q and %q are let in", one, two)
		}
		if _, done, err := e.Step(two); done || err == nil {
			t.Error("there is a third step")
		}
	})
}
