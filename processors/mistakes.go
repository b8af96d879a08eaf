package processors

import (
	"errors"
	"fmt"
)

// mistake describes what is wrong with a configuration, if it is.
func mistake(wrong bool, format string, args ...any) error {
	if !wrong {
		return nil
	}
	return fmt.Errorf(format, args...)
}

// joinMistakes unites the mistakes in the declaration of a store, each with the store's name.
func joinMistakes(store string, declared error, mistakes ...error) error {
	errs := []error{declared}
	for _, err := range mistakes {
		if err != nil {
			errs = append(errs, fmt.Errorf("processors: store %q: %w", store, err))
		}
	}
	return errors.Join(errs...)
}
