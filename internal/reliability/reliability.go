package reliability

import "os"

// Figure returns full with RIFFLE_RELIABILITY set, and otherwise few.
func Figure(few, full int) int {
	if os.Getenv("RIFFLE_RELIABILITY") != "" {
		return full
	}
	return few
}
