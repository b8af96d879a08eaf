package pan

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// The lengths of card numbers in use (ISO/IEC 7812-1 allows up to 19 digits).
const (
	minDigits = 13
	maxDigits = 19
)

// How much of a number is shown.
const (
	shownFirst = 6
	shownLast  = 4
)

var (
	// ErrDigits means text that has no form of a card number.
	ErrDigits = errors.New("pan: want a card number of 13 to 19 digits, in groups if need be")
	// ErrCheckDigit means that the number was mistyped.
	ErrCheckDigit = errors.New("pan: the check digit of the card number is wrong")
)

// PAN is a card number. The zero value is none. It prints, logs and encodes as its masked form, also within other values.
//
// Decoding text gives the number itself, so a PAN that was encoded does not come back.
type PAN struct {
	// digits is a pointer because fmt does not ask the unexported fields of a struct how they want to be printed: of
	// a pointer it prints the address. It points to a string because fmt follows pointers to slices and structs all the same when the
	// verb does not fit.
	digits *string
}

// Parse reads a card number: digits with single spaces or dashes between them. Its errors do not quote what they are about.
func Parse(text string) (PAN, error) {
	p, ok := digitsOf(text)
	switch {
	case !ok:
		return PAN{}, ErrDigits
	case !luhn([]byte(*p.digits)):
		return PAN{}, ErrCheckDigit
	}
	return p, nil
}

// digitsOf reads the digits of a number without a look at its check digit.
func digitsOf(text string) (PAN, bool) {
	if len(text) < minDigits || len(text) > 2*maxDigits-1 {
		return PAN{}, false
	}
	digits := make([]byte, 0, maxDigits)
	afterDigit := false
	for _, c := range []byte(text) {
		switch {
		case isDigit(c):
			digits = append(digits, c)
		case !isSeparator(c) || !afterDigit:
			return PAN{}, false
		}
		afterDigit = isDigit(c)
	}
	if !afterDigit || len(digits) < minDigits || len(digits) > maxDigits {
		return PAN{}, false
	}
	number := string(digits)
	return PAN{&number}, true
}

func isDigit(c byte) bool     { return c >= '0' && c <= '9' }
func isSeparator(c byte) bool { return c == ' ' || c == '-' }

// luhn checks the last digit (ISO/IEC 7812-1, annex B): every second digit from the right counts twice.
func luhn(digits []byte) bool {
	sum := 0
	for i, c := range digits {
		d := int(c - '0')
		if (len(digits)-i)%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// WithCheckDigit returns digits with the digit behind them that makes them a number: for made-up ones.
func WithCheckDigit(digits string) string {
	for d := byte('0'); ; d++ {
		if number := append([]byte(digits), d); luhn(number) {
			return string(number)
		}
	}
}

// IsZero reports whether there is no number.
func (p PAN) IsZero() bool { return p.digits == nil }

// String returns the masked form, such as 411111******1111.
func (p PAN) String() string {
	if p.IsZero() {
		return ""
	}
	masked := []byte(*p.digits)
	for i := shownFirst; i < len(masked)-shownLast; i++ {
		masked[i] = '*'
	}
	return string(masked)
}

// Format implements [fmt.Formatter]: whatever the verb, the masked form.
func (p PAN) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, p.String()) }

// LogValue implements [slog.LogValuer].
func (p PAN) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns the masked form, also for JSON.
func (p PAN) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText is Parse.
func (p *PAN) UnmarshalText(text []byte) (err error) {
	*p, err = Parse(string(text))
	return err
}
