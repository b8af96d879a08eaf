package client

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// NewLogin is a login of a user with a password, by one of Kafka's mechanisms:
// SCRAM-SHA-512, which is also that of an empty name, SCRAM-SHA-256 or PLAIN.
func NewLogin(mechanism, user, password string) (sasl.Mechanism, error) {
	switch mechanism {
	case "", "SCRAM-SHA-512":
		return scram.Auth{User: user, Pass: password}.AsSha512Mechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: user, Pass: password}.AsSha256Mechanism(), nil
	case "PLAIN":
		return plain.Auth{User: user, Pass: password}.AsMechanism(), nil
	}
	return nil, fmt.Errorf("client: there is no mechanism %q, want one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN", mechanism)
}
