package vfs_test

import (
	"fmt"
	"math/rand/v2"

	"github.com/riffle-stream/riffle/internal/vfs"
)

func ExampleMem_CrashClone() {
	m := vfs.NewMem()
	for _, name := range []string{"a", "b"} {
		f, err := m.Create(name)
		if err != nil {
			panic(err)
		}
		if err := f.Sync(); err != nil { // the contents, not the name
			panic(err)
		}
		if name == "a" {
			if err := m.SyncDir("."); err != nil {
				panic(err)
			}
		}
	}
	names, _ := m.CrashClone(0, rand.New(rand.NewPCG(1, 2))).List(".")
	fmt.Println(names)
	// Output: [a]
}
