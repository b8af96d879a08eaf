package access_test

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/access"
	"github.com/riffle-stream/riffle/broker/scram"
	"github.com/riffle-stream/riffle/internal/vfs"
)

// A user is there when the call returns, whatever happens then.
func ExampleStore() {
	store, err := access.Open(vfs.NewMem())
	if err != nil {
		fmt.Println(err)
		return
	}
	v, _ := scram.New(scram.SHA256, "correct horse", scram.Salt(), scram.MinIterations)
	if err := store.ChangeUser("alice", []scram.Verifier{v}, nil); err != nil {
		fmt.Println(err)
	}
	_, ok := store.Verifier(access.Credential{User: "alice", Mechanism: scram.SHA256})
	fmt.Println(store.Users(), ok)
	// Output: [alice] true
}
