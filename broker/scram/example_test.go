package scram_test

import (
	"fmt"

	"github.com/riffle-stream/riffle/broker/scram"
)

// A password is kept as a verifier only.
func ExampleNew() {
	v, err := scram.New(scram.SHA512, "correct horse", scram.Salt(), scram.DefaultIterations)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(v.Mechanism, v.Iterations, v.Matches("correct horse"), v.Matches("battery staple"))
	// Output: SCRAM-SHA-512 15000 true false
}
