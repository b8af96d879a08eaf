package acl

import (
	"cmp"
	"slices"
	"strings"
)

// Set is bindings, arranged to be asked. It does not change and may be used
// concurrently. A nil Set is empty.
type Set struct {
	bindings []Binding // sorted, each once
	types    map[ResourceType]*typeSet
}

// typeSet is the bindings of one resource type.
type typeSet struct {
	literal  map[string][]rule // by name
	prefixed map[string][]rule // by prefix
	lengths  []int             // of the prefixes, ascending, each once
}

// rule is what is left of a binding under its name.
type rule struct {
	principal  string
	host       string
	operation  Operation
	permission Permission
}

// NewSet arranges bindings, which Validate has found good.
func NewSet(bindings []Binding) *Set {
	s := &Set{bindings: slices.Clone(bindings), types: map[ResourceType]*typeSet{}}
	slices.SortFunc(s.bindings, compare)
	s.bindings = slices.Compact(s.bindings)
	for _, b := range s.bindings {
		t := s.types[b.Type]
		if t == nil {
			t = &typeSet{literal: map[string][]rule{}, prefixed: map[string][]rule{}}
			s.types[b.Type] = t
		}
		r := rule{b.Principal, b.Host, b.Operation, b.Permission}
		if b.Pattern == Literal {
			t.literal[b.Name] = append(t.literal[b.Name], r)
		} else {
			t.prefixed[b.Name] = append(t.prefixed[b.Name], r)
			t.lengths = append(t.lengths, len(b.Name))
		}
	}
	for _, t := range s.types {
		slices.Sort(t.lengths)
		t.lengths = slices.Compact(t.lengths)
	}
	return s
}

func compare(a, b Binding) int {
	return cmp.Or(
		cmp.Compare(a.Type, b.Type), cmp.Compare(a.Pattern, b.Pattern), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Principal, b.Principal),
		cmp.Compare(a.Operation, b.Operation), cmp.Compare(a.Permission, b.Permission), cmp.Compare(a.Host, b.Host))
}

// Bindings are all bindings, in a fixed order. The slice must not be changed.
func (s *Set) Bindings() []Binding {
	if s == nil {
		return nil
	}
	return s.bindings
}

// Client is who asks.
type Client struct {
	Principal string // "User:alice"
	Host      string // its address
}

// Allowed reports whether a client may do an operation on a resource.
func (s *Set) Allowed(c Client, op Operation, t ResourceType, name string) bool {
	if s == nil || s.types[t] == nil {
		return false
	}
	allowed := false
	for rules := range s.types[t].about(name) {
		for i := range rules {
			switch r := &rules[i]; {
			case !r.concerns(c):
			case r.permission == Deny && r.denies(op):
				return false
			case r.permission == Allow && r.allows(op):
				allowed = true
			}
		}
	}
	return allowed
}

// about are the rules that concern a name.
func (t *typeSet) about(name string) func(yield func([]rule) bool) {
	return func(yield func([]rule) bool) {
		if !yield(t.literal[name]) || name != wildcard && !yield(t.literal[wildcard]) {
			return
		}
		for _, n := range t.lengths {
			if n > len(name) || !yield(t.prefixed[name[:n]]) {
				return
			}
		}
	}
}

func (r *rule) concerns(c Client) bool {
	return (r.principal == c.Principal || r.principal == principalType+wildcard) && (r.host == c.Host || r.host == wildcard)
}

func (r *rule) denies(op Operation) bool { return r.operation == op || r.operation == All }

func (r *rule) allows(op Operation) bool {
	if r.denies(op) {
		return true // by name
	}
	switch op {
	case Describe:
		return r.operation == Read || r.operation == Write || r.operation == Delete || r.operation == Alter
	case DescribeConfigs:
		return r.operation == AlterConfigs
	}
	return false
}

// AllowedSomewhere reports whether there may be a resource of a type on which a client
// may do an operation: one that a binding allows and that none of those that deny
// covers (KIP-679).
func (s *Set) AllowedSomewhere(c Client, op Operation, t ResourceType) bool {
	if s == nil || s.types[t] == nil {
		return false
	}
	ts := s.types[t]
	matches := func(rules []rule, p Permission) bool {
		return slices.ContainsFunc(rules, func(r rule) bool { return r.permission == p && r.concerns(c) && r.denies(op) })
	}
	if matches(ts.literal[wildcard], Deny) {
		return false
	}
	deniedBefore := func(name string) bool {
		for _, n := range ts.lengths {
			if n <= len(name) && matches(ts.prefixed[name[:n]], Deny) {
				return true
			}
		}
		return false
	}
	for prefix, rules := range ts.prefixed {
		if matches(rules, Allow) && !deniedBefore(prefix) {
			return true
		}
	}
	for name, rules := range ts.literal {
		if matches(rules, Allow) && (name == wildcard || !matches(rules, Deny) && !deniedBefore(name)) {
			return true
		}
	}
	return false
}

// Operations is the bit field of the operations that a client may do on a resource, as
// Kafka's responses have it: bit n is the operation with number n.
func (s *Set) Operations(c Client, t ResourceType, name string) int32 {
	return bits(t, func(op Operation) bool { return s.Allowed(c, op, t, name) })
}

// AllOperations is the bit field of all operations that a type of resource has.
func AllOperations(t ResourceType) int32 {
	return bits(t, func(Operation) bool { return true })
}

func bits(t ResourceType, in func(Operation) bool) (field int32) {
	for _, op := range t.operations() {
		if in(op) {
			field |= 1 << op
		}
	}
	return field
}

// Filter chooses bindings. An empty text chooses all, and so do AnyType, AnyPattern,
// AnyOperation and AnyPermission.
type Filter struct {
	Type       ResourceType
	Name       string
	Pattern    Pattern
	Principal  string
	Host       string
	Operation  Operation
	Permission Permission
}

// Chooses reports whether a filter chooses a binding.
func (f Filter) Chooses(b Binding) bool {
	switch {
	case f.Type != AnyType && f.Type != b.Type,
		f.Principal != "" && f.Principal != b.Principal,
		f.Host != "" && f.Host != b.Host,
		f.Operation != AnyOperation && f.Operation != b.Operation,
		f.Permission != AnyPermission && f.Permission != b.Permission:
		return false
	}
	if (f.Pattern == Literal || f.Pattern == Prefixed) && f.Pattern != b.Pattern {
		return false
	}
	switch {
	case f.Name == "":
		return true
	case f.Pattern != Match:
		return f.Name == b.Name
	case b.Pattern == Prefixed:
		return strings.HasPrefix(f.Name, b.Name)
	}
	return b.Name == f.Name || b.Name == wildcard
}

// Choose returns the bindings that a filter chooses.
func (s *Set) Choose(f Filter) []Binding {
	var chosen []Binding
	for _, b := range s.Bindings() {
		if f.Chooses(b) {
			chosen = append(chosen, b)
		}
	}
	return chosen
}

// With returns a set with more bindings.
func (s *Set) With(more ...Binding) *Set {
	return NewSet(slices.Concat(s.Bindings(), more))
}

// Without returns a set without some bindings.
func (s *Set) Without(gone ...Binding) *Set {
	return NewSet(slices.DeleteFunc(slices.Clone(s.Bindings()), func(b Binding) bool { return slices.Contains(gone, b) }))
}
