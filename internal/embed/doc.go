// Package embed runs a broker inside the process, for the stream tower.
//
// It is the only bridge between the two towers: what crosses it is a dialer, so everything else goes through the
// same protocol as to any other cluster. Only package stream imports it.
//
// A Broker may be used concurrently. The package deliberately exposes no part of package broker: no topics, no
// logs, no shortcuts.
package embed
