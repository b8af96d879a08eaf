package broker

// distinct returns the items whose keys did not come before. What is asked for many
// times in one request is answered once, as Kafka answers Metadata: a small request must
// not make a huge answer.
func distinct[T any, K comparable](items []T, key func(T) K) []T {
	seen := make(map[K]bool, len(items))
	first := items[:0:0]
	for _, item := range items {
		if k := key(item); !seen[k] {
			seen[k] = true
			first = append(first, item)
		}
	}
	return first
}

// itself is the key of an item that is its own.
func itself[T any](item T) T { return item }
