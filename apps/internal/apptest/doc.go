// Package apptest starts an app's own test binary as the app itself, in a process of its own. The app's TestMain has to hand over to
// testscript.Main, which goes by the name of the binary.
package apptest
