package acl_test

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/acl"
)

// The till may write to topics that begin with "payments", but not to the archive.
func ExampleSet() {
	till := acl.Client{Principal: acl.User("till"), Host: "10.0.0.7"}
	set := acl.NewSet([]acl.Binding{
		{Type: acl.Topic, Name: "payments", Pattern: acl.Prefixed, Principal: till.Principal, Host: "*", Operation: acl.Write, Permission: acl.Allow},
		{Type: acl.Topic, Name: "payments-archive", Pattern: acl.Literal, Principal: acl.User("*"), Host: "*", Operation: acl.Write, Permission: acl.Deny},
	})
	for _, topic := range []string{"payments-2026", "payments-archive", "cards"} {
		fmt.Println(topic, set.Allowed(till, acl.Write, acl.Topic, topic))
	}
	// Output:
	// payments-2026 true
	// payments-archive false
	// cards false
}
