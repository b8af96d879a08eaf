// Package starter holds the rules that a new fraud desk begins with: one for each kind of case that the generator plants, and for the
// frauds of the published model. They are ordinary changes, to be changed like any others.
package starter
