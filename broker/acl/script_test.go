package acl

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs the scripts in testdata. Their commands are
//
//	acls             replaces all bindings; a line each:
//	                 allow|deny PRINCIPAL OPERATION TYPE [prefix:]NAME [HOST]
//	ask              asks; a line each: PRINCIPAL OPERATION TYPE NAME [HOST]
//	somewhere        asks; a line each: PRINCIPAL OPERATION TYPE
//	operations       PRINCIPAL TYPE NAME, a line each
//	choose           k=v arguments of a filter: type, name, pattern, principal, host, operation, permission
func TestScripts(t *testing.T) {
	t.Parallel()
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		set := NewSet(nil)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			lines := strings.Split(strings.TrimSpace(d.Input), "\n")
			switch d.Cmd {
			case "acls":
				var bindings []Binding
				for _, line := range lines {
					b := parseBinding(t, strings.Fields(line))
					if err := b.Validate(); err != nil {
						fmt.Fprintln(&out, err)
						continue
					}
					bindings = append(bindings, b)
				}
				set = NewSet(bindings)
			case "ask":
				for _, line := range lines {
					w := append(strings.Fields(line), "10.0.0.1")
					c := Client{Principal: User(w[0]), Host: w[4]}
					fmt.Fprintf(&out, "%s: %s\n", line, verdict(set.Allowed(c, number[Operation](t, operationNames[:], w[1]), number[ResourceType](t, typeNames[:], w[2]), w[3])))
				}
			case "somewhere":
				for _, line := range lines {
					w := strings.Fields(line)
					c := Client{Principal: User(w[0]), Host: "10.0.0.1"}
					fmt.Fprintf(&out, "%s: %s\n", line, verdict(set.AllowedSomewhere(c, number[Operation](t, operationNames[:], w[1]), number[ResourceType](t, typeNames[:], w[2]))))
				}
			case "operations":
				for _, line := range lines {
					w := strings.Fields(line)
					typ := number[ResourceType](t, typeNames[:], w[1])
					field := set.Operations(Client{User(w[0]), "10.0.0.1"}, typ, w[2])
					fmt.Fprintf(&out, "%s: %s\n", line, fieldNames(field))
				}
			case "choose":
				f := Filter{Type: AnyType, Pattern: AnyPattern, Operation: AnyOperation, Permission: AnyPermission}
				for _, arg := range d.CmdArgs {
					switch v := arg.Vals[0]; arg.Key {
					case "type":
						f.Type = number[ResourceType](t, typeNames[:], v)
					case "name":
						f.Name = v
					case "pattern":
						f.Pattern = number[Pattern](t, patternNames[:], v)
					case "principal":
						f.Principal = User(v)
					case "host":
						f.Host = v
					case "operation":
						f.Operation = number[Operation](t, operationNames[:], v)
					case "permission":
						f.Permission = number[Permission](t, permissionNames[:], v)
					}
				}
				for _, b := range set.Choose(f) {
					fmt.Fprintln(&out, b)
				}
			default:
				t.Fatalf("unknown command %s", d.Cmd)
			}
			return out.String()
		})
	})
}

func parseBinding(t *testing.T, w []string) Binding {
	t.Helper()
	b := Binding{
		Permission: number[Permission](t, permissionNames[:], strings.ToUpper(w[0][:1])+w[0][1:]),
		Principal:  User(w[1]), Operation: number[Operation](t, operationNames[:], w[2]), Type: number[ResourceType](t, typeNames[:], w[3]),
		Name: w[4], Pattern: Literal, Host: "*",
	}
	if name, prefixed := strings.CutPrefix(b.Name, "prefix:"); prefixed {
		b.Name, b.Pattern = name, Prefixed
	}
	if len(w) > 5 {
		b.Host = w[5]
	}
	return b
}

func number[T ~int8](t *testing.T, names []string, name string) T {
	t.Helper()
	for i, n := range names {
		if n == name {
			return T(i)
		}
	}
	t.Fatalf("there is no %q", name)
	return 0
}

func verdict(allowed bool) string {
	if allowed {
		return "allowed"
	}
	return "denied"
}

func fieldNames(field int32) string {
	var names []string
	for op := All; op <= IdempotentWrite; op++ {
		if field&(1<<op) != 0 {
			names = append(names, op.String())
		}
	}
	return strings.Join(names, " ")
}
