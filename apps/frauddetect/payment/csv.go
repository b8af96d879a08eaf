package payment

import (
	"errors"
	"fmt"
	"strconv"
	"time"
)

// The columns that a file must have. Their order does not matter, and further columns are ignored.
const (
	ColumnID       = "TRANSACTION_ID"
	ColumnTime     = "TX_DATETIME"
	ColumnCustomer = "CUSTOMER_ID"
	ColumnTerminal = "TERMINAL_ID"
	ColumnAmount   = "TX_AMOUNT"
)

// ColumnScenario is the label of a simulated file. It may be missing.
const ColumnScenario = "TX_FRAUD_SCENARIO"

// Columns returns the names of the columns that a file must have.
func Columns() []string {
	return []string{ColumnID, ColumnTime, ColumnCustomer, ColumnTerminal, ColumnAmount}
}

// ColumnError reports a field that does not parse.
type ColumnError struct {
	Column string
	Err    error
}

func (e *ColumnError) Error() string { return fmt.Sprintf("column %s: %v", e.Column, e.Err) }
func (e *ColumnError) Unwrap() error { return e.Err }

// Parser turns the rows of one file into transactions. It is safe for concurrent use.
type Parser struct {
	id, time, customer, terminal, amount int
	scenario                             int // -1: no such column
}

// header is what a Parser needs of a file: where the named columns stand, or an error that names the missing ones.
type header interface {
	Columns(names ...string) ([]int, error)
}

// NewParser finds the columns in a file's header.
func NewParser(h header) (*Parser, error) {
	at, err := h.Columns(Columns()...)
	if err != nil {
		return nil, err
	}
	p := &Parser{id: at[0], time: at[1], customer: at[2], terminal: at[3], amount: at[4], scenario: -1}
	if at, err := h.Columns(ColumnScenario); err == nil {
		p.scenario = at[0]
	}
	return p, nil
}

// Parse reads the fields of one row, which it does not keep. The error is a *ColumnError.
func (p *Parser) Parse(fields [][]byte) (t Transaction, err error) {
	if t.ID, err = strconv.ParseInt(string(fields[p.id]), 10, 64); err != nil {
		return Transaction{}, &ColumnError{ColumnID, notNumber(fields[p.id])}
	}
	if t.Time, err = parseTime(fields[p.time]); err != nil {
		return Transaction{}, &ColumnError{ColumnTime, err}
	}
	if len(fields[p.customer]) == 0 {
		return Transaction{}, &ColumnError{ColumnCustomer, errors.New("empty: a payment needs a card")}
	}
	if t.Amount, err = ParseCents(fields[p.amount]); err != nil {
		return Transaction{}, &ColumnError{ColumnAmount, err}
	}
	if p.scenario >= 0 && len(fields[p.scenario]) > 0 {
		n, err := strconv.ParseInt(string(fields[p.scenario]), 10, 8)
		if err != nil {
			return Transaction{}, &ColumnError{ColumnScenario, notNumber(fields[p.scenario])}
		}
		t.Scenario = int8(n)
	}
	t.Card, t.Terminal = string(fields[p.customer]), string(fields[p.terminal])
	return t, nil
}

func notNumber(field []byte) error { return fmt.Errorf("payment: %q is not a whole number", field) }

// parseTime reads 2018-04-01T00:00:31, with a T or a space, as UTC, and RFC 3339 with a zone, from 1970 on.
func parseTime(b []byte) (time.Time, error) {
	if len(b) != len("2018-04-01T00:00:31") || b[4] != '-' || b[7] != '-' || b[10] != 'T' && b[10] != ' ' || b[13] != ':' || b[16] != ':' {
		return parseZonedTime(b)
	}
	year := digits(b[0:2])*100 + digits(b[2:4])
	month, day := digits(b[5:7]), digits(b[8:10])
	hour, minute, second := digits(b[11:13]), digits(b[14:16]), digits(b[17:19])
	t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	// time.Date takes 31 April for 1 May; a digit that is none has made its number negative.
	if year < 1970 || month < 1 || month > 12 || day < 1 || t.Day() != day || hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59 {
		return time.Time{}, notTime(b)
	}
	return t, nil
}

// parseZonedTime keeps milliseconds: a record's timestamp has no more, and none before 1970.
func parseZonedTime(b []byte) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, string(b))
	if err != nil || t.UnixMilli() < 0 || t.UTC().Year() > 9999 {
		return time.Time{}, notTime(b)
	}
	return t.UTC().Truncate(time.Millisecond), nil
}

func notTime(b []byte) error {
	return fmt.Errorf("payment: %q is not a time such as 2018-04-01T00:00:31", b)
}

// digits returns the number of two digits, or something far below zero.
func digits(b []byte) int {
	if b[0] < '0' || b[0] > '9' || b[1] < '0' || b[1] > '9' {
		return -1e6
	}
	return int(b[0]-'0')*10 + int(b[1]-'0')
}
