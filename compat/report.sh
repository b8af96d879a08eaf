# What the suites in bash share: one line for each check.
check() { # name, wanted, got
	if [ "$2" = "$3" ]; then echo "ok $1"; else echo "not ok $1: want $(printf %q "$2"), got $(printf %q "$3")"; fi
}
