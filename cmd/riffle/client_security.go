package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// Variables that stand for the flags below. A password has no flag: command lines can be read by others.
const (
	mechanismEnv = "RIFFLE_SASL_MECHANISM"
	userEnv      = "RIFFLE_SASL_USER"
	passwordEnv  = "RIFFLE_SASL_PASSWORD"
	caEnv        = "RIFFLE_TLS_CA"
)

// securityFlags say how a command proves who it is, and whom it trusts.
type securityFlags struct {
	mechanism    string
	user         string
	passwordFile string
	tls          bool
	ca           string
	cert, key    string
}

func (f *securityFlags) register(flags *pflag.FlagSet) {
	mechanism := os.Getenv(mechanismEnv)
	if mechanism == "" {
		mechanism = "SCRAM-SHA-512"
	}
	flags.StringVar(&f.user, "sasl-user", os.Getenv(userEnv), "log in as this user (environment: "+userEnv+", the password "+passwordEnv+")")
	flags.StringVar(&f.passwordFile, "sasl-password-file", "", "file that holds the password, in place of "+passwordEnv)
	flags.StringVar(&f.mechanism, "sasl-mechanism", mechanism, "SCRAM-SHA-512, SCRAM-SHA-256 or PLAIN (environment: "+mechanismEnv+")")
	flags.BoolVar(&f.tls, "tls", false, "connect with TLS; the other --tls flags imply it")
	flags.StringVar(&f.ca, "tls-ca", os.Getenv(caEnv), "file with the roots of the brokers' certificates, in place of the system's (environment: "+caEnv+")")
	flags.StringVar(&f.cert, "tls-cert", "", "file with a certificate to show")
	flags.StringVar(&f.key, "tls-key", "", "file with its key")
}

// options are what a client needs for the flags.
func (f *securityFlags) options() ([]kgo.Opt, error) {
	var opts []kgo.Opt
	if f.tls || f.ca != "" || f.cert != "" || f.key != "" {
		cfg, err := f.tlsConfig()
		if err != nil {
			return nil, err
		}
		opts = append(opts, kgo.DialTLSConfig(cfg))
	}
	if f.user == "" {
		if f.passwordFile != "" {
			return nil, usagef("--sasl-password-file is set, but no --sasl-user")
		}
		return opts, nil
	}
	login, err := f.login()
	return append(opts, kgo.SASL(login)), err
}

func (f *securityFlags) tlsConfig() (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, usagef("--tls-ca: %w", err)
		}
		if cfg.RootCAs = x509.NewCertPool(); !cfg.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usagef("--tls-ca: %s holds no certificate in PEM", f.ca)
		}
	}
	if f.cert != "" || f.key != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, usagef("--tls-cert and --tls-key: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return cfg, nil
}

func (f *securityFlags) login() (sasl.Mechanism, error) {
	password := os.Getenv(passwordEnv)
	if f.passwordFile != "" {
		text, err := os.ReadFile(f.passwordFile)
		if err != nil {
			return nil, usagef("--sasl-password-file: %w", err)
		}
		password = strings.TrimRight(string(text), "\r\n")
	}
	if password == "" {
		return nil, usagef("user %q has no password: set %s, or --sasl-password-file", f.user, passwordEnv)
	}
	switch f.mechanism {
	case "PLAIN":
		return plain.Auth{User: f.user, Pass: password}.AsMechanism(), nil
	case "SCRAM-SHA-256":
		return scram.Auth{User: f.user, Pass: password}.AsSha256Mechanism(), nil
	case "SCRAM-SHA-512":
		return scram.Auth{User: f.user, Pass: password}.AsSha512Mechanism(), nil
	}
	return nil, usagef("--sasl-mechanism is %q, want one of SCRAM-SHA-512, SCRAM-SHA-256, PLAIN", f.mechanism)
}

// refusal explains an error of a broker that answers, but not to this client. Trying again is of no use then.
func (f *securityFlags) refusal(err error) error {
	var (
		unknown x509.UnknownAuthorityError
		other   x509.HostnameError
	)
	switch {
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		return fmt.Errorf("the broker refuses the login of user %q: wrong user or password", f.user)
	case errors.Is(err, kerr.UnsupportedSaslMechanism):
		return fmt.Errorf("the broker does not offer %s: name another mechanism with --sasl-mechanism", f.mechanism)
	case errors.As(err, &unknown):
		return fmt.Errorf("the broker's certificate is not trusted: name its root with --tls-ca: %w", err)
	case errors.As(err, &other):
		return fmt.Errorf("the broker's certificate is for other names: %w", err)
	}
	return nil
}
