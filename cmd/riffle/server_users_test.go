package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/riffle-stream/riffle/broker"
)

func TestUsersFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte("# the first\nadmin = correct horse = battery\n\n  billing=x\t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	users, err := readUsers(path)
	if want := []broker.User{{Name: "admin", Password: "correct horse = battery"}, {Name: "billing", Password: "x"}}; err != nil || !cmp.Equal(want, users) {
		t.Errorf("users %q, %v", users, err)
	}
	if users, err := readUsers(""); users != nil || err != nil {
		t.Errorf("without a file: %v, %v", users, err)
	}
	if _, err := readUsers(path + ".missing"); err == nil || !strings.Contains(err.Error(), "--users-file: open ") {
		t.Errorf("a file that is missing: %v", err)
	}
}

// A mistake is named by its line and not shown: it may be a password.
func TestUsersFileMistakes(t *testing.T) {
	t.Parallel()
	_, err := parseUsers("users", "hunter2\nadmin = \n= hunter2\nadmin = hunter2\nadmin = hunter2\n")
	want := "--users-file: users:1 is not name = password\n--users-file: users:2 is not name = password\n" +
		"--users-file: users:3 is not name = password\n--users-file: users:5: the user stands in line 4 already"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want\n%s", err, want)
	}
}
