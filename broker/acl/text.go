package acl

import (
	"fmt"
	"slices"
)

// The names in text are Kafka's, as its tools take and print them.

// MarshalText returns the name of an operation.
func (o Operation) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText takes the name of an operation.
func (o *Operation) UnmarshalText(text []byte) error {
	return parse(o, "operation", operationNames[:], text)
}

// MarshalText returns the name of a resource type.
func (t ResourceType) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText takes the name of a resource type.
func (t *ResourceType) UnmarshalText(text []byte) error {
	return parse(t, "resource type", typeNames[:], text)
}

// MarshalText returns the name of a pattern type.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes the name of a pattern type.
func (p *Pattern) UnmarshalText(text []byte) error {
	return parse(p, "pattern type", patternNames[:], text)
}

// MarshalText returns the name of a permission.
func (p Permission) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText takes the name of a permission.
func (p *Permission) UnmarshalText(text []byte) error {
	return parse(p, "permission", permissionNames[:], text)
}

func parse[T ~int8](into *T, what string, names []string, text []byte) error {
	i := slices.Index(names, string(text))
	if i < 1 {
		return fmt.Errorf("acl: there is no %s %.32q", what, text)
	}
	*into = T(i)
	return nil
}
