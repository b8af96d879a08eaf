package broker

import (
	"fmt"
	"strings"
)

// securityProtocol is what stands before the address of a listener, in Kafka's words.
type securityProtocol struct {
	name string
	sasl bool // clients log in
}

// securityProtocols are those that are served. The first is the default.
func securityProtocols() []securityProtocol {
	return []securityProtocol{
		{name: "plaintext"},
		{name: "sasl_plaintext", sasl: true},
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

// lacks says what keeps strangers from reading along or from taking part, and is not
// there.
func (p securityProtocol) lacks() string {
	switch {
	case p.sasl:
		return "encryption"
	default:
		return "encryption and no authentication"
	}
}
