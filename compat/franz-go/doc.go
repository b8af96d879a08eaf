// Package compat requires franz-go, whose own tests run.sh runs against a Riffle
// server.
package compat

import _ "github.com/twmb/franz-go/pkg/kgo"
