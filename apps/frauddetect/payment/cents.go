package payment

import (
	"encoding/json/jsontext"
	"errors"
	"fmt"
	"strconv"
)

// Cents is an amount of money in hundredths. Amounts never pass through floating point.
type Cents int64

// maxCents bounds an amount, so that the sum of a card's payments cannot overflow.
const maxCents = 1e15

// ParseCents reads an amount such as 57.16, 146 or 0.5: digits, and at most two decimals. It is exact, and
// refuses a sign, an exponent and more than ten trillion.
func ParseCents(b []byte) (Cents, error) {
	c, decimals := Cents(0), -1
	for i, d := range b {
		switch {
		case d == '.' && decimals < 0 && i > 0:
			decimals = 0
			continue
		case d < '0' || d > '9':
			return 0, fmt.Errorf("payment: %q is not an amount such as 57.16", b)
		case decimals == 2:
			return 0, fmt.Errorf("payment: %q has more than two decimals", b)
		case decimals >= 0:
			decimals++
		}
		if c = c*10 + Cents(d-'0'); c > maxCents {
			return 0, fmt.Errorf("payment: %q is more than %s", b, Cents(maxCents))
		}
	}
	switch {
	case len(b) == 0:
		return 0, errors.New("payment: no amount")
	case decimals <= 0:
		c *= 100
	case decimals == 1:
		c *= 10
	}
	if c > maxCents {
		return 0, fmt.Errorf("payment: %q is more than %s", b, Cents(maxCents))
	}
	return c, nil
}

// String returns the amount with two decimals.
func (c Cents) String() string {
	return string(c.Append(make([]byte, 0, 24)))
}

// Append appends what String returns.
func (c Cents) Append(dst []byte) []byte {
	abs := uint64(c)
	if c < 0 {
		dst, abs = append(dst, '-'), -abs
	}
	dst = strconv.AppendUint(dst, abs/100, 10)
	return append(dst, '.', byte('0'+abs/10%10), byte('0'+abs%10))
}

// MarshalJSONTo writes the amount as a number with two decimals.
func (c Cents) MarshalJSONTo(enc *jsontext.Encoder) error {
	return enc.WriteValue(c.Append(enc.AvailableBuffer()))
}

// UnmarshalJSONFrom reads the number that MarshalJSONTo writes, digit by digit.
func (c *Cents) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	v, err := dec.ReadValue()
	if err != nil {
		return err
	}
	*c, err = ParseCents(v)
	return err
}
