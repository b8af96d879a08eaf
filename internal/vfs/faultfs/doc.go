// Package faultfs wraps a vfs.FS and makes chosen operations fail, so that a test
// can see each failure surface, or makes its fsyncs slow.
//
// Faults are injected by kind of operation, by name and by count; the file system
// counts what ran and what was made to fail. It is safe for concurrent use. It
// invents no data: a failed operation does nothing, or, where a fault says so, a part.
package faultfs
