package processors

import (
	"fmt"

	"github.com/riffle-stream/riffle/internal/varint"
)

// parsed returns an error unless everything was read and was good.
func parsed(r *varint.Reader, what string) error {
	if !r.Done() {
		return fmt.Errorf("processors: %s that do not parse", what)
	}
	return nil
}
