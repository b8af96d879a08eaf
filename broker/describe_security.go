package broker

import (
	"slices"
	"strings"

	"github.com/riffle-stream/riffle/broker/catalog"
)

// securityConfigs are the broker's settings of security, by Kafka's names; those of what
// no listener has are left out. Of passwords and keys it is told that they are there.
func (b *Broker) securityConfigs() []catalog.Value {
	cfg := b.cfg
	sasl := cfg.SASL.Dial
	var clientAuths []string // of listeners with TLS, each once
	for _, listen := range cfg.Listen {
		l, err := parseListen(listen)
		if err != nil {
			continue // not so: it is listened on
		}
		sasl = sasl || l.sasl
		if auth := cfg.TLS.clientAuth(l); l.tls && !slices.Contains(clientAuths, auth) {
			clientAuths = append(clientAuths, auth)
		}
	}
	var values []catalog.Value
	if b.authorizes {
		values = append(values,
			staticText("allow.everyone.if.no.acl.found", catalog.Boolean, "false"),
			staticText("super.users", catalog.String, strings.Join(cfg.Authorization.SuperUsers, ";")))
	}
	if sasl {
		values = append(values,
			staticText("sasl.enabled.mechanisms", catalog.List, strings.Join(cfg.SASL.mechanisms(true), ",")),
			staticNumber("connections.max.reauth.ms", catalog.Long, cfg.SASL.MaxReauth.Milliseconds()),
			staticNumber("connection.failed.authentication.delay.ms", catalog.Int, cfg.SASL.FailureDelay.Milliseconds()))
		if len(cfg.SASL.Users) > 0 {
			values = append(values, staticText("sasl.jaas.config", catalog.Secret, ""))
		}
	}
	if len(clientAuths) == 1 { // otherwise the listeners tell
		values = append(values, staticText(clientAuthOption, catalog.String, clientAuths[0]))
	}
	if len(clientAuths) > 0 {
		rules := "DEFAULT"
		if cfg.TLS.CommonName {
			rules = `RULE:^.*CN=([^,]+).*$/$1/`
		}
		values = append(values,
			staticText("ssl.enabled.protocols", catalog.List, "TLSv1.2,TLSv1.3"),
			staticText("ssl.keystore.location", catalog.String, cfg.TLS.CertFile),
			staticText("ssl.keystore.type", catalog.String, "PEM"),
			staticText("ssl.keystore.key", catalog.Secret, ""),
			staticText("ssl.principal.mapping.rules", catalog.String, rules))
		if cfg.TLS.ClientCAFile != "" {
			values = append(values,
				staticText("ssl.truststore.location", catalog.String, cfg.TLS.ClientCAFile),
				staticText("ssl.truststore.type", catalog.String, "PEM"))
		}
	}
	return values
}
