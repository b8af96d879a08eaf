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

// clientAuthOption is what may stand behind the address of a listener with TLS, after
// Kafka's listener.name.<name>.ssl.client.auth.
const clientAuthOption = "ssl.client.auth"

// listenAddress is one of Config.Listen, taken apart.
type listenAddress struct {
	securityProtocol
	addr       string
	clientAuth string // of this listener; empty: not said
}

// parseListen takes apart [protocol://]host:port[?ssl.client.auth=...].
func parseListen(listen string) (l listenAddress, err error) {
	rest, options, _ := strings.Cut(listen, "?")
	protocol, addr, found := strings.Cut(rest, "://")
	if !found {
		protocol, addr = securityProtocols()[0].name, rest
	}
	l.addr = addr
	i := slices.IndexFunc(securityProtocols(), func(p securityProtocol) bool { return strings.EqualFold(p.name, protocol) })
	if i < 0 {
		var names []string
		for _, p := range securityProtocols() {
			names = append(names, p.name)
		}
		return l, fmt.Errorf("broker: listen address %q: there is no protocol %q, want one of %s", listen, protocol, strings.Join(names, ", "))
	}
	l.securityProtocol = securityProtocols()[i]
	for option := range strings.SplitSeq(options, "&") {
		name, value, _ := strings.Cut(option, "=")
		switch {
		case option == "":
		case name != clientAuthOption:
			return l, fmt.Errorf("broker: listen address %q: there is no option %q, only %s", listen, name, clientAuthOption)
		case !l.tls:
			return l, fmt.Errorf("broker: listen address %q: %s is an option of ssl:// and sasl_ssl://", listen, clientAuthOption)
		case !slices.Contains(clientAuths(), value):
			return l, fmt.Errorf("broker: listen address %q: %s is %q, want one of %s", listen, clientAuthOption, value, strings.Join(clientAuths(), ", "))
		default:
			l.clientAuth = value
		}
	}
	return l, nil
}

// listensWithTLS reports whether a listener needs certificates.
func (c Config) listensWithTLS() bool {
	return slices.ContainsFunc(c.Listen, func(listen string) bool {
		l, err := parseListen(listen)
		return err == nil && l.tls
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
