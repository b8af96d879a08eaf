// Package bank is an application whose outputs show every record that was lost, counted twice or taken out of order: it
// moves money between accounts. What it writes follows from its input alone, account by account.
//
// The program in bank/run runs it, to be killed.
package bank
