package main

import (
	"errors"
	"fmt"

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
	text, err := readSmallFile("users-file", path, "users")
	if err != nil {
		return nil, err
	}
	return parseUsers(path, text)
}

func parseUsers(path, text string) ([]broker.User, error) {
	var (
		users []broker.User
		errs  []error
		first = map[string]int{} // line by name
	)
	for _, l := range configLines(text) {
		from := fmt.Sprintf("--users-file: %s:%d", path, l.number)
		switch {
		case !l.ok || l.name == "" || l.value == "":
			errs = append(errs, usagef("%s is not name = password", from))
		case first[l.name] != 0:
			errs = append(errs, usagef("%s: the user stands in line %d already", from, first[l.name]))
		default:
			first[l.name] = l.number
			users = append(users, broker.User{Name: l.name, Password: broker.Secret(l.value)})
		}
	}
	return users, errors.Join(errs...)
}
