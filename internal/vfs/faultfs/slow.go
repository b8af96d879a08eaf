package faultfs

import "github.com/riffle-stream/riffle/internal/vfs"

// SlowSync returns a file system that does what inner does, and calls before before each fsync of a file: a test has it sleep, in a bubble
// of testing/synctest, for as long as a disk would take. Unlike those of a Hook, the calls are made side by side.
func SlowSync(inner vfs.FS, before func()) vfs.FS { return slowFS{inner, before} }

type slowFS struct {
	vfs.FS
	before func()
}

func (s slowFS) Create(name string) (vfs.File, error) {
	f, err := s.FS.Create(name)
	return slowFile{f, s.before}, err
}

func (s slowFS) Open(name string) (vfs.File, error) {
	f, err := s.FS.Open(name)
	return slowFile{f, s.before}, err
}

func (s slowFS) Sub(dir string) (vfs.FS, error) {
	sub, err := s.FS.Sub(dir)
	return slowFS{sub, s.before}, err
}

type slowFile struct {
	vfs.File
	before func()
}

func (f slowFile) Sync() error {
	f.before()
	return f.File.Sync()
}
