package broker

import (
	"fmt"
	"slices"
	"strings"
)

// securityProtocol is what stands before the address of a listener, in Kafka's words.
type securityProtocol struct {
	name string
	sasl bool // clients log in
	tls  bool
}

// securityProtocols are those that are served. The first is the default.
func securityProtocols() []securityProtocol {
	return []securityProtocol{
		{name: "plaintext"},
		{name: "sasl_plaintext", sasl: true},
		{name: "ssl", tls: true},
		{name: "sasl_ssl", sasl: true, tls: true},
	}
}

// parseProtocol takes the protocol off an address.
func parseProtocol(listen string) (p securityProtocol, addr string, err error) {
	name, addr, found := strings.Cut(listen, "://")
	if !found {
		return securityProtocols()[0], listen, nil
	}
	var names []string
	for _, p := range securityProtocols() {
		if strings.EqualFold(p.name, name) {
			return p, addr, nil
		}
		names = append(names, p.name)
	}
	return p, "", fmt.Errorf("broker: listen address %q: there is no protocol %q, want one of %s", listen, name, strings.Join(names, ", "))
}

// listensWithTLS reports whether a listener needs certificates.
func (c Config) listensWithTLS() bool {
	return slices.ContainsFunc(c.Listen, func(listen string) bool {
		p, _, err := parseProtocol(listen)
		return err == nil && p.tls
	})
}

// lacks says what keeps strangers from reading along or from taking part, and is not
// there. An ssl listener authenticates if clients must show a certificate.
func (p securityProtocol) lacks(clientAuth string) string {
	authenticates := p.sasl || p.tls && clientAuth == clientAuthRequired
	switch {
	case !p.tls && !authenticates:
		return "encryption and no authentication"
	case !p.tls:
		return "encryption"
	case !authenticates:
		return "authentication"
	}
	return ""
}
