package scram

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash"
)

// Limits of the iterations of PBKDF2. Kafka has the same two bounds and takes 4,096
// if nothing is said.
const (
	MinIterations     = 4096
	MaxIterations     = 16_384
	DefaultIterations = 15_000
)

// saltBytes is the length of the salts that are drawn here; maxSaltBytes that of
// those that clients bring.
const (
	saltBytes    = 24
	maxSaltBytes = 256
)

// Mechanism is a SCRAM mechanism, by its number in Kafka's protocol (KIP-554).
type Mechanism int8

// The mechanisms that Kafka knows.
const (
	SHA256 Mechanism = 1
	SHA512 Mechanism = 2
)

// Mechanisms are all there are, the stronger first.
func Mechanisms() []Mechanism { return []Mechanism{SHA512, SHA256} }

// String is the mechanism's name in SASL.
func (m Mechanism) String() string {
	switch m {
	case SHA256:
		return "SCRAM-SHA-256"
	case SHA512:
		return "SCRAM-SHA-512"
	}
	return fmt.Sprintf("unknown mechanism %d", int8(m))
}

// ParseMechanism returns the mechanism with that name.
func ParseMechanism(name string) (m Mechanism, ok bool) {
	for _, m := range Mechanisms() {
		if m.String() == name {
			return m, true
		}
	}
	return 0, false
}

func (m Mechanism) hash() func() hash.Hash {
	if m == SHA256 {
		return sha256.New
	}
	return sha512.New
}

// size is the length of the keys.
func (m Mechanism) size() int { return m.hash()().Size() }

// Errors of New, FromSalted and Verifier.Validate.
var (
	// ErrMechanism means that the mechanism is not known.
	ErrMechanism = errors.New("scram: unknown mechanism")
	// ErrIterations means that there are too few iterations to be safe, or so many
	// that they would keep a client busy.
	ErrIterations = errors.New("scram: iterations out of range")
	// ErrCredential means that a salt, a key or a password is missing or has the
	// wrong length.
	ErrCredential = errors.New("scram: bad credential")
)

// Verifier is what is kept of a password for one mechanism.
type Verifier struct {
	Mechanism  Mechanism
	Salt       []byte
	Iterations int
	StoredKey  []byte // H(ClientKey)
	ServerKey  []byte
}

// Salt draws a salt for a new verifier.
func Salt() []byte {
	salt := make([]byte, saltBytes)
	_, _ = rand.Read(salt) // never fails: it would end the program
	return salt
}

// New makes the verifier of a password. Zero iterations are DefaultIterations.
func New(m Mechanism, password string, salt []byte, iterations int) (Verifier, error) {
	if iterations == 0 {
		iterations = DefaultIterations
	}
	if err := checkParameters(m, salt, iterations); err != nil {
		return Verifier{}, err
	}
	if password == "" {
		return Verifier{}, fmt.Errorf("%w: the password is empty", ErrCredential)
	}
	return FromSalted(m, salted(m, password, salt, iterations), salt, iterations)
}

// FromSalted makes the verifier of a password that went through PBKDF2 already:
// AlterUserScramCredentials sends it so, and the password never leaves the client.
func FromSalted(m Mechanism, saltedPassword, salt []byte, iterations int) (Verifier, error) {
	if err := checkParameters(m, salt, iterations); err != nil {
		return Verifier{}, err
	}
	if len(saltedPassword) != m.size() {
		return Verifier{}, fmt.Errorf("%w: the salted password has %d bytes, %s has %d", ErrCredential, len(saltedPassword), m, m.size())
	}
	return derive(m, saltedPassword, salt, iterations), nil
}

// derive makes the keys of RFC 5802.
func derive(m Mechanism, saltedPassword, salt []byte, iterations int) Verifier {
	clientKey := mac(m, saltedPassword, "Client Key")
	stored := m.hash()()
	stored.Write(clientKey)
	return Verifier{
		Mechanism: m, Salt: salt, Iterations: iterations,
		StoredKey: stored.Sum(nil), ServerKey: mac(m, saltedPassword, "Server Key"),
	}
}

// Validate checks a verifier that was read from somewhere.
func (v Verifier) Validate() error {
	if err := checkParameters(v.Mechanism, v.Salt, v.Iterations); err != nil {
		return err
	}
	if size := v.Mechanism.size(); len(v.StoredKey) != size || len(v.ServerKey) != size {
		return fmt.Errorf("%w: keys of %d and %d bytes, %s has %d", ErrCredential, len(v.StoredKey), len(v.ServerKey), v.Mechanism, size)
	}
	return nil
}

// Matches reports whether v is the verifier of password. It takes as long as the
// iterations make it, and the same time for each password.
func (v Verifier) Matches(password string) bool {
	other := derive(v.Mechanism, salted(v.Mechanism, password, v.Salt, v.Iterations), v.Salt, v.Iterations)
	return subtle.ConstantTimeCompare(v.StoredKey, other.StoredKey) == 1
}

// Decoy is a verifier that no password matches, the same for each name as long as
// secret is. A login with a name that does not exist goes through it like any other,
// so that nobody can find out which names there are.
func Decoy(m Mechanism, secret []byte, name string) Verifier {
	return Verifier{
		Mechanism: m, Iterations: DefaultIterations,
		Salt:      mac(m, secret, "salt of "+name)[:saltBytes],
		StoredKey: mac(m, secret, "stored key of "+name),
		ServerKey: mac(m, secret, "server key of "+name),
	}
}

func checkParameters(m Mechanism, salt []byte, iterations int) error {
	switch {
	case m != SHA256 && m != SHA512:
		return fmt.Errorf("%w: number %d", ErrMechanism, int8(m))
	case iterations < MinIterations || iterations > MaxIterations:
		return fmt.Errorf("%w: %d, want %d to %d", ErrIterations, iterations, MinIterations, MaxIterations)
	case len(salt) == 0 || len(salt) > maxSaltBytes:
		return fmt.Errorf("%w: a salt of %d bytes, want 1 to %d", ErrCredential, len(salt), maxSaltBytes)
	}
	return nil
}

func salted(m Mechanism, password string, salt []byte, iterations int) []byte {
	key, err := pbkdf2.Key(m.hash(), password, salt, iterations, m.size())
	if err != nil {
		return nil // only in FIPS mode, with a salt that is too short: nothing matches
	}
	return key
}

func mac(m Mechanism, key []byte, text string) []byte {
	h := hmac.New(m.hash(), key)
	h.Write([]byte(text))
	return h.Sum(nil)
}
