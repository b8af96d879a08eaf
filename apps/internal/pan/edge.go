package pan

import "sync"

// Edge is where card numbers of files end. It looks for its keys when the first number comes: most files have customers' numbers.
type Edge struct {
	ring func() (*Ring, error)
}

// NewEdge returns an edge with the keys that a configuration leads to.
func NewEdge(cfg Config) *Edge {
	return &Edge{sync.OnceValues(func() (*Ring, error) { return FindKeys(cfg) })}
}

// Card makes a key of what stands in the card field of a file. What has the length of a card number becomes a token, whatever its check
// digit: of a mistyped number most digits are right. Anything else, such as a customer's number or a token, stays as it is.
func (e *Edge) Card(field string) (string, error) {
	p, ok := digitsOf(field)
	if !ok {
		return field, nil
	}
	ring, err := e.ring()
	if err != nil {
		return "", err
	}
	return ring.Token(p)
}

// Ring returns the keys.
func (e *Edge) Ring() (*Ring, error) { return e.ring() }
