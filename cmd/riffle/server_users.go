package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/riffle-stream/riffle/broker"
)

const usersHelp = `--users-file names a file of users that log in with a password, one a line: name = password, # before a comment. A user is
made when the server starts and there is none of that name; from then on kafka-configs.sh changes the password, and the file
does not. Passwords are never taken from the command line, where others can read them.`

// readUsers reads a file of users. What it says about a line does not show it: there is a password in it.
func readUsers(path string) ([]broker.User, error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usagef("--users-file: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	switch {
	case err != nil:
		return nil, usagef("--users-file: %w", err)
	case len(text) > maxConfigBytes:
		return nil, usagef("--users-file: %s has more than %d bytes: it is no file of users", path, maxConfigBytes)
	}
	return parseUsers(path, string(text))
}

func parseUsers(path, text string) ([]broker.User, error) {
	var (
		users []broker.User
		errs  []error
		first = map[string]int{} // line by name
	)
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, password, ok := strings.Cut(line, "=")
		name, password = strings.TrimSpace(name), strings.TrimSpace(password)
		from := fmt.Sprintf("--users-file: %s:%d", path, number)
		switch {
		case !ok || name == "" || password == "":
			errs = append(errs, usagef("%s is not name = password", from))
		case first[name] != 0:
			errs = append(errs, usagef("%s: the user stands in line %d already", from, first[name]))
		default:
			first[name] = number
			users = append(users, broker.User{Name: name, Password: broker.Secret(password)})
		}
	}
	return users, errors.Join(errs...)
}
