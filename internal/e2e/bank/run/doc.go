// Run runs one instance of the bank until it is interrupted, or killed. It is built with the tag "failpoints".
package main
