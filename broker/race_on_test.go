//go:build race

package broker

// decodeFactor: with the race detector kmsg allocates each array twice, because
// append(a, make(T, n)...) is not optimized then.
const decodeFactor = 2
