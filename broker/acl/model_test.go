package acl

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The arrangement of a set changes nothing: it answers as one that looks at each
// binding would.
func TestModel(t *testing.T) {
	t.Parallel()
	names := []string{"a", "ab", "abc", "b", "*"}
	client := rapid.Custom(func(t *rapid.T) Client {
		return Client{User(rapid.SampledFrom([]string{"u", "v"}).Draw(t, "user")), rapid.SampledFrom([]string{"h", "i"}).Draw(t, "host")}
	})
	binding := rapid.Custom(func(t *rapid.T) Binding {
		typ := rapid.SampledFrom([]ResourceType{Topic, Group}).Draw(t, "type")
		return Binding{
			Type: typ, Name: rapid.SampledFrom(names).Draw(t, "name"), Pattern: rapid.SampledFrom([]Pattern{Literal, Prefixed}).Draw(t, "pattern"),
			Principal: User(rapid.SampledFrom([]string{"u", "v", "*"}).Draw(t, "user")), Host: rapid.SampledFrom([]string{"h", "i", "*"}).Draw(t, "host"),
			Operation:  rapid.SampledFrom(append(typ.operations(), All)).Draw(t, "operation"),
			Permission: rapid.SampledFrom([]Permission{Allow, Allow, Deny}).Draw(t, "permission"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		bindings := rapid.SliceOfN(binding, 0, 8).Draw(t, "bindings")
		half := rapid.IntRange(0, len(bindings)).Draw(t, "half")
		set := NewSet(bindings[:half]).With(bindings[half:]...)
		c := client.Draw(t, "client")
		typ := rapid.SampledFrom([]ResourceType{Topic, Group}).Draw(t, "of type")
		somewhere := map[Operation]bool{}
		for _, name := range []string{"a", "ab", "abc", "abcd", "b", "c"} {
			var field int32
			for _, op := range typ.operations() {
				want := simple(bindings, c, op, typ, name)
				if got := set.Allowed(c, op, typ, name); got != want {
					t.Fatalf("%v on %s %q: %v, want %v", op, typ, name, got, want)
				}
				if want {
					field |= 1 << op
					somewhere[op] = somewhere[op] || exactly(bindings, c, op, typ, name)
				}
			}
			if got := set.Operations(c, typ, name); got != field {
				t.Fatalf("operations on %q: %b, want %b", name, got, field)
			}
		}
		for op := range somewhere {
			if somewhere[op] && !set.AllowedSomewhere(c, op, typ) {
				t.Fatalf("%v is allowed on a %s, but not somewhere", op, typ)
			}
		}
		gone := rapid.SliceOf(rapid.SampledFrom(append(bindings, Binding{}))).Draw(t, "gone")
		left := slices.DeleteFunc(slices.Clone(bindings), func(b Binding) bool { return slices.Contains(gone, b) })
		if got, want := set.Without(gone...).Bindings(), NewSet(left).Bindings(); !slices.Equal(got, want) {
			t.Fatalf("left: %v, want %v", got, want)
		}
	})
}

// simple looks at each binding.
func simple(bindings []Binding, c Client, op Operation, typ ResourceType, name string) bool {
	allowed := false
	for _, b := range bindings {
		if !about(b, c, typ, name) {
			continue
		}
		if b.Permission == Deny && (b.Operation == op || b.Operation == All) {
			return false
		}
		implied := op == Describe && slices.Contains([]Operation{Read, Write, Delete, Alter}, b.Operation) || op == DescribeConfigs && b.Operation == AlterConfigs
		allowed = allowed || b.Permission == Allow && (b.Operation == op || b.Operation == All || implied)
	}
	return allowed
}

func about(b Binding, c Client, typ ResourceType, name string) bool {
	if b.Type != typ || b.Principal != c.Principal && b.Principal != "User:*" || b.Host != c.Host && b.Host != "*" {
		return false
	}
	return b.Pattern == Literal && (b.Name == name || b.Name == "*") || b.Pattern == Prefixed && strings.HasPrefix(name, b.Name)
}

// exactly reports whether a binding allows an operation by name, and not by what it
// implies.
func exactly(bindings []Binding, c Client, op Operation, typ ResourceType, name string) bool {
	return slices.ContainsFunc(bindings, func(b Binding) bool {
		return about(b, c, typ, name) && b.Permission == Allow && (b.Operation == op || b.Operation == All)
	})
}

func BenchmarkAllowed(b *testing.B) {
	var bindings []Binding
	for _, name := range []string{"orders", "payments", "cards"} {
		for _, user := range []string{"alice", "bob", "carol"} {
			bindings = append(bindings, Binding{Topic, name, Prefixed, User(user), "*", Read, Allow}, Binding{Topic, name + "-in", Literal, User(user), "*", Write, Allow})
		}
	}
	set, c := NewSet(bindings), Client{User("carol"), "10.0.0.1"}
	b.ReportAllocs()
	for b.Loop() {
		if !set.Allowed(c, Read, Topic, "payments-2026") {
			b.Fatal("denied")
		}
	}
}
