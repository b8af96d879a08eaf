package badgerstore

import (
	"fmt"
	"log/slog"
	"strings"
)

// badgerLogger gives Badger's messages to slog. What Badger calls information is of
// interest to its developers only.
type badgerLogger struct{ to *slog.Logger }

func (l badgerLogger) Errorf(format string, args ...any)   { l.to.Error(message(format, args)) }
func (l badgerLogger) Warningf(format string, args ...any) { l.to.Warn(message(format, args)) }
func (l badgerLogger) Infof(format string, args ...any)    { l.to.Debug(message(format, args)) }
func (l badgerLogger) Debugf(string, ...any)               {}

func message(format string, args []any) string {
	return "badger: " + strings.TrimSpace(fmt.Sprintf(format, args...))
}
