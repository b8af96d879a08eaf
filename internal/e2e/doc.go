// Package e2e tests Riffle from outside: built programs are started, killed and started again, foreign clients talk to
// them, and the README is followed to the letter. It holds no code of its own.
//
// RIFFLE_E2E_CYCLES sets how often the kill tests kill (the default is small enough for every run of make test), and
// RIFFLE_E2E_INPUT gives it a file of payments to use in place of the rows it makes.
package e2e
