package offsets

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const timeLayout = "2006-01-02T15:04:05.000Z07:00"

// parseTimes reads what stands behind the @: a time or a range of times. Colons belong to RFC 3339 as well, so
// a range is cut at the first colon that leaves a time on both sides.
func parseTimes(s string, now time.Time) (Range, error) {
	if s == "" || s == ":" {
		return Range{}, errors.New("want a time behind the @, as in @2006-01-02, @-1h or @-2h:-1h")
	}
	if at, err := parseTime(s, now); err == nil {
		return Range{From: Position{Time, at}}, nil
	}
	var lastErr error
	for i := range len(s) {
		if s[i] != ':' {
			continue
		}
		r, err := parseTimeRange(s[:i], s[i+1:], now)
		if err == nil {
			return r, nil
		}
		lastErr = err
	}
	if lastErr != nil {
		return Range{}, lastErr
	}
	_, err := parseTime(s, now)
	return Range{}, err
}

func parseTimeRange(from, to string, now time.Time) (Range, error) {
	r := Range{Bounded: to != ""}
	since := now.UnixMilli()
	if from != "" {
		at, err := parseTime(from, now)
		if err != nil {
			return Range{}, err
		}
		r.From, since = Position{Time, at}, at
	}
	switch to {
	case "":
		return r, nil
	case "end":
		r.To = Position{Kind: End}
		return r, nil
	}
	at, err := parseTime(to, now)
	if err != nil {
		d, durationErr := parseDuration(strings.TrimPrefix(to, "+"))
		if durationErr != nil {
			return Range{}, err
		}
		if from == "" {
			return Range{}, fmt.Errorf("%q counts from the first time, which is missing", to)
		}
		if at, err = millis(time.UnixMilli(since).Add(d)); err != nil {
			return Range{}, err
		}
	}
	if from != "" && at < since {
		return Range{}, fmt.Errorf("the range ends at %s, before it starts at %s", Position{Time, at}, Position{Time, since})
	}
	r.To = Position{Time, at}
	return r, nil
}

// parseTime reads one point in time and returns milliseconds since 1970.
func parseTime(s string, now time.Time) (int64, error) {
	switch {
	case s == "now":
		return millis(now)
	case isDigits(s):
		return parseEpoch(s)
	case strings.HasPrefix(s, "-"):
		d, err := parseDuration(s[1:])
		if err != nil {
			return 0, fmt.Errorf("%q: want - and a duration such as -90s, -1h30m or -7d", s)
		}
		return millis(now.Add(-d))
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return millis(t)
		}
	}
	return 0, fmt.Errorf("%q is not a time: want 2006-01-02, 2006-01-02T15:04:05Z, milliseconds since 1970, now, or -1h", s)
}

// parseEpoch tells the unit of a number by its digits: no unit has both a recent past and the same length.
func parseEpoch(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is too large for a time", s)
	}
	switch len(s) {
	case 9, 10:
		return n * 1000, nil
	case 13:
		return n, nil
	case 19:
		return n / int64(time.Millisecond), nil
	default:
		return 0, fmt.Errorf("%q has %d digits: seconds have 9 or 10, milliseconds 13, nanoseconds 19", s, len(s))
	}
}

// parseDuration is time.ParseDuration for durations without a sign, and knows days, which come first: 2d12h.
func parseDuration(s string) (time.Duration, error) {
	if s == "" || s[0] == '+' || s[0] == '-' {
		return 0, fmt.Errorf("%q is not a duration", s)
	}
	days, rest, hasDays := strings.Cut(s, "d")
	if !hasDays {
		return time.ParseDuration(s)
	}
	const day = 24 * time.Hour
	n, err := strconv.ParseUint(days, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number of days", days)
	}
	d := time.Duration(n) * day
	if rest != "" {
		more, err := parseDuration(rest)
		if err != nil {
			return 0, err
		}
		d += more
	}
	return d, nil
}

// millis keeps times in what a record's timestamp can hold and a reader can write: 1970 to 9999. Negative
// numbers mean "earliest" and "latest" to a broker, so a time before 1970 must not reach it.
func millis(t time.Time) (int64, error) {
	ms := t.UnixMilli()
	if ms < 0 || t.UTC().Year() > 9999 {
		return 0, fmt.Errorf("%s is not between 1970 and 9999", t.UTC().Format(time.RFC3339))
	}
	return ms, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
