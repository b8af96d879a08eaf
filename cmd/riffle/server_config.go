package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// serverEnv begins the names of the variables that set what flags do:
// RIFFLE_SERVER_METRICS_ADDR is --metrics-addr.
const serverEnv = "RIFFLE_SERVER_"

const configHelp = `Settings come from flags, then from variables (RIFFLE_SERVER_METRICS_ADDR for --metrics-addr), then from the file that
--config names: lines of name = value, the names those of the flags without the hyphens, # before a comment.`

// addServerConfig adds the flag for the file, and those that hardly anybody sets on a
// command line.
func addServerConfig(cmd *cobra.Command, f *serverFlags) {
	flags := cmd.Flags()
	flags.String("config", "", "file with settings (see above)")
	flags.IntVar(&f.broker.MaxConnections, "max-connections", 0, "TCP connections at a time (default 1024)")
	flags.IntVar(&f.broker.MaxConnectionsPerIP, "max-connections-per-ip", 0, "TCP connections of one address (default 64)")
	flags.DurationVar(&f.broker.IdleTimeout, "idle-timeout", 0, "how long a connection may send nothing (default 10m)")
	flags.DurationVar(&f.broker.RetentionInterval, "retention-interval", 0, "how often old segments are looked for (default 5m)")
	flags.DurationVar(&f.broker.Group.OffsetsRetention, "offsets-retention", 0, "how long the offsets of an empty group are kept (default 168h)")
	flags.DurationVar(&f.broker.Group.ConsumerHeartbeatInterval, "group-consumer-heartbeat-interval", 0, "how often members of the consumer protocol heartbeat (default 5s)")
	flags.DurationVar(&f.broker.Group.ConsumerSessionTimeout, "group-consumer-session-timeout", 0, "how long members of the consumer protocol may be silent (default 45s)")
	flags.IntVar(&f.broker.MaxFetchSessions, "max-fetch-sessions", 0, "clients that fetch incrementally (default 1000)")
	flags.IntVar(&f.broker.MaxExporterSeries, "max-exporter-series", 0, "series of kafka_* metrics (default 50000)")
	flags.StringVar(&f.broker.TLS.ClientAuth, "tls-client-auth", "", "certificates of clients: none, requested or required (default required with --tls-client-ca on ssl://, none on sasl_ssl://)")
	flags.BoolVar(&f.broker.TLS.CommonName, "tls-common-name", false, "name users by the common name of their certificate (default: by the whole distinguished name)")
	flags.BoolVar(&f.broker.Authorization.Required, "require-acls", false, "ask for permissions also if no listener authenticates its clients")
	flags.StringSliceVar(&f.broker.SASL.Mechanisms, "sasl-mechanisms", nil, "mechanisms of sasl_ listeners (default SCRAM-SHA-512,SCRAM-SHA-256, and PLAIN where nobody can listen in)")
	flags.DurationVar(&f.broker.SASL.MaxReauth, "max-reauth", 0, "how long a login is good for (default: for ever)")
	flags.IntVar(&f.broker.SASL.MaxLoginsPerSecond, "max-logins-per-second", 0, "logins from one address (default 20)")
	flags.IntVar(&f.broker.MaxUnauthenticated, "max-unauthenticated", 0, "connections that have not logged in yet (default 128)")
	for _, name := range []string{"config", "users-file", "tls-cert", "tls-key", "tls-client-ca"} {
		mustComplete(cmd, name, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		})
	}
}

// setting is one line of a file, or one variable.
type setting struct {
	name, value string
	from        string // where it stands, for messages
}

// loadServerConfig sets the flags that the command line leaves open, first from
// variables, then from the file. It reports all that is wrong at once.
func loadServerConfig(flags *pflag.FlagSet, environ []string) error {
	set := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) { set[f.Name] = true })
	err := applySettings(flags, set, envSettings(environ))
	path, _ := flags.GetString("config")
	if path == "" {
		return err
	}
	settings, fileErr := readSettings(path)
	return errors.Join(err, fileErr, applySettings(flags, set, settings))
}

// applySettings sets the flags that are not set yet.
func applySettings(flags *pflag.FlagSet, set map[string]bool, settings []setting) error {
	var errs []error
	for _, s := range settings {
		f := flags.Lookup(s.name)
		switch {
		case f == nil || s.name == "help":
			errs = append(errs, usagef("%s: there is no setting %q%s", s.from, s.name, suggestSetting(flags, s.name)))
			continue
		case set[s.name]:
			continue
		}
		set[s.name] = true
		if f.Value.Type() == "stringSlice" {
			s.value = trimList(s.value)
		}
		if err := flags.Set(s.name, s.value); err != nil {
			errs = append(errs, usagef("%s: %w", s.from, err))
		}
	}
	return errors.Join(errs...)
}

// trimList removes the blanks around the words of a list.
func trimList(value string) string {
	words := strings.Split(value, ",")
	for i, word := range words {
		words[i] = strings.TrimSpace(word)
	}
	return strings.Join(words, ",")
}

// envSettings are the variables that are meant for the server, sorted.
func envSettings(environ []string) []setting {
	var settings []setting
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if rest, ok := strings.CutPrefix(name, serverEnv); ok {
			settings = append(settings, setting{strings.ReplaceAll(strings.ToLower(rest), "_", "-"), value, "variable " + name})
		}
	}
	slices.SortFunc(settings, func(a, b setting) int { return strings.Compare(a.name, b.name) })
	return settings
}

// readSettings reads a file of settings.
func readSettings(path string) ([]setting, error) {
	text, err := readSmallFile("config", path, "settings")
	if err != nil {
		return nil, err
	}
	return parseSettings(path, text)
}

func parseSettings(path, text string) ([]setting, error) {
	var (
		settings []setting
		errs     []error
		first    = map[string]int{} // line by name
	)
	for _, l := range configLines(text) {
		from := fmt.Sprintf("%s:%d", path, l.number)
		switch {
		case !l.ok:
			errs = append(errs, usagef("%s: %.60q is not name = value", from, l.text))
		case l.name == "config":
			errs = append(errs, usagef("%s: a file cannot name another", from))
		case first[l.name] != 0:
			errs = append(errs, usagef("%s: %q is set already in line %d", from, l.name, first[l.name]))
		default:
			first[l.name] = l.number
			settings = append(settings, setting{l.name, l.value, from})
		}
	}
	return settings, errors.Join(errs...)
}

// suggestSetting names the setting that is meant, if one is close.
func suggestSetting(flags *pflag.FlagSet, name string) string {
	best, distance := "", 4
	flags.VisitAll(func(f *pflag.Flag) {
		if d := editDistance(f.Name, strings.ReplaceAll(strings.ToLower(name), "_", "-")); d < distance {
			best, distance = f.Name, d
		}
	})
	if best == "" {
		return "; riffle server --help lists them"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// editDistance is how many letters must be changed, added or removed to make a of b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
