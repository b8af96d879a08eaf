#!/usr/bin/env bash
# run.sh [name...]: plant each bug of this directory in a copy of the tree, and see that the
# test which it names fails, three times of three. A patch begins with two lines: what the
# bug does; the package and the test that catch it.
set -euo pipefail
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cd "$root"
git ls-files -z -co --exclude-standard | xargs -0 cp --parents -t "$copy" 2>/dev/null || true # a deleted file is no reason to stop
cd "$copy"
if [ $# = 0 ]; then set -- internal/planted/*.patch; else set -- "${@/#/internal/planted/}"; set -- "${@/%/.patch}"; fi
missed=0
for bug; do
	name=$(basename "$bug" .patch)
	read -r _ pkg test < <(sed -n 2p "$bug")
	patch -p1 -s <"$bug" || { echo "$name: the patch does not apply: make it anew"; exit 1; }
	caught=0
	for _ in 1 2 3; do
		if ! go test -count=1 -run "^$test\$" "$pkg" >"$copy/out" 2>&1; then
			grep -q '^--- FAIL\|^    --- FAIL\|^panic:' "$copy/out" && caught=$((caught + 1)) || cat "$copy/out"
		fi
	done
	patch -p1 -s -R <"$bug"
	echo "$caught of 3: $name: $pkg $test"
	[ $caught = 3 ] || missed=$((missed + 1))
done
[ $missed = 0 ] || { echo "$missed bugs were not caught each time"; exit 1; }
