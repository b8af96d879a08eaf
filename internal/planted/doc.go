// Package planted holds bugs: patches that each break one promise of docs/guarantees.md
// and name the test that has to fail then. run.sh, which make planted calls, plants them
// one by one in a copy of the tree.
//
// It holds no code; its test keeps the patches and the page together.
package planted
