package pan

import "bytes"

// Redact masks what may be a card number in bytes of unknown form: each run of 13 digits or more, with single spaces or dashes between them,
// that begins as card numbers do (with 2 to 6) or holds a number with a right check digit. It returns b itself if there is none.
//
// It is for rows that do not parse and for texts of errors. Times in milliseconds, which begin with 1, stay.
func Redact(b []byte) []byte {
	var redacted []byte
	for start, end := range runs(b) {
		if !suspicious(b[start:end]) {
			continue
		}
		if redacted == nil {
			redacted = bytes.Clone(b)
		}
		for i := start; i < end; i++ {
			if isDigit(b[i]) {
				redacted[i] = '*'
			}
		}
	}
	if redacted == nil {
		return b
	}
	return redacted
}

// Found reports whether a text holds a card number: 13 to 19 digits that begin with 2 to 6 and have a right check digit.
func Found(text string) bool {
	for start, end := range runs([]byte(text)) {
		if hasNumber(digits([]byte(text)[start:end])) {
			return true
		}
	}
	return false
}

// runs yields where the runs of at least 13 digits begin and end.
func runs(b []byte) func(yield func(start, end int) bool) {
	return func(yield func(start, end int) bool) {
		for i := 0; i < len(b); i++ {
			if !isDigit(b[i]) {
				continue
			}
			start, end, n := i, i, 0
			for ; i < len(b) && (isDigit(b[i]) || isSeparator(b[i]) && i+1 < len(b) && isDigit(b[i+1])); i++ {
				if isDigit(b[i]) {
					n++
				}
				end = i + 1
			}
			if n >= minDigits && !yield(start, end) {
				return
			}
		}
	}
}

func suspicious(run []byte) bool { return begins(run[0]) || hasNumber(digits(run)) }

// begins reports whether card numbers of payment networks begin so: 2 to 6.
func begins(c byte) bool { return c >= '2' && c <= '6' }

func digits(run []byte) []byte {
	var d []byte
	for _, c := range run {
		if isDigit(c) {
			d = append(d, c)
		}
	}
	return d
}

// hasNumber reports whether some stretch of the digits is a card number.
func hasNumber(d []byte) bool {
	for start := range d {
		for n := minDigits; n <= maxDigits && start+n <= len(d); n++ {
			if begins(d[start]) && luhn(d[start:start+n]) {
				return true
			}
		}
	}
	return false
}

// Like reports whether a whole text has the form of a card number, whatever its check digit.
func Like(text string) bool {
	_, ok := digitsOf(text)
	return ok
}
