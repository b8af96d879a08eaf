//go:build !race

package broker

// decodeFactor is how much more than foreseen a decoder may allocate.
const decodeFactor = 1
