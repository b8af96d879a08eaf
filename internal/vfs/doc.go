// Package vfs is the seam between Riffle and the disk: a small file system
// interface, an implementation below one os.Root, and one in memory that can
// crash.
//
// An FS promises no more than a disk does: contents last from File.Sync on, names
// from SyncDir on. Mem keeps exactly that promise: its CrashClone is what a machine
// could find after a power loss. Package faultfs makes operations fail.
package vfs
