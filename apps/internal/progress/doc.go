// Package progress shows on a terminal, or in a log, how a program gets on: one live line, and messages between.
//
// On a terminal the line is written over a few times a second; elsewhere a new line appears every two seconds.
// Messages may come from any goroutine and never tear the line. The package does not decide what the line says.
package progress
