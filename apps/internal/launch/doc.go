// Package launch has what the commands of every app begin with. It deliberately knows none of them.
package launch
