// Package archtest keeps the architecture of Riffle true: its test reads the
// sources of the module and fails, naming the remedy, where they leave it.
//
// The table in layers.go gives each package a place. Packages stand in one of two
// towers, the broker's and the stream's, which meet on the Kafka protocol and never
// import each other; on the ground below both; on the bridge, through which a
// stream application starts a broker in its own process; or on the roof. A package
// imports the ground, the standard library, its libraries and lower floors of its
// own tower. A package that is not in the table fails the test: whoever adds one
// decides where it stands. A place may be kept for a package that does not exist
// yet.
//
// The other rules are in rules.go: which packages are pure, who may import which
// library, which names say nothing, that each package has a doc.go, and that tests
// do not sleep.
//
// The sources are parsed inside the test. One that ran go list would stay green
// after a forbidden import, because the test cache does not see which files a child
// process reads.
package archtest
