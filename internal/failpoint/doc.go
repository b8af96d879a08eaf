// Package failpoint lets a test end the process at a named point. Without the build tag "failpoints" it is empty.
//
// A program that was built with it reads RIFFLE_FAILPOINT, NAME or NAME:N, and sends itself SIGKILL when it comes to
// the point of that name for the Nth time.
package failpoint
