#!/usr/bin/env bash
# Runs benchmarks in rounds, so that the machine's moods meet all contenders alike,
# and prints what benchstat makes of them.
#
#   bench/run.sh             all contenders of this tree, the ratios to riffle
#   bench/run.sh compare REF this tree against another revision
#   PKG=./bench/peers bench/run.sh
#                            the stream engine and its peers, as a table
#
# RUN (default .) narrows the benchmarks, ROUNDS (5; benchstat calls nothing certain
# below 4) and BENCHTIME (3x) set how often they run, MINUTES when no further round
# begins, PKG (./bench) is the package, OUT (a temporary file) keeps the raw output
# of the first form. RIFFLE_BENCH_DIR (a temporary directory) has what ./bench/peers
# prepares once for all rounds.
set -euo pipefail
cd "$(dirname "$0")/.."
export GOTOOLCHAIN=auto
RUN=${RUN:-.} ROUNDS=${ROUNDS:-5} PKG=${PKG:-./bench}
case $PKG in
*bench/peers) BENCHTIME=${BENCHTIME:-1x} ;; # a run is as long as its records take
*) BENCHTIME=${BENCHTIME:-3x} ;;
esac
tmp=$(mktemp -d)
trap 'git worktree remove --force "$tmp/ref" 2>/dev/null || true; rm -rf "$tmp"' EXIT

build() { # directory of the tree, name
	(cd "$1/$PKG" && go test -c -o "$tmp/$2" .) || { echo "run.sh: $PKG of $1 does not build"; exit 1; }
}
round() { # directory of the tree, name
	(cd "$1/$PKG" && RIFFLE_BENCH_DIR="${RIFFLE_BENCH_DIR:-$tmp/data}/$2" "$tmp/$2" -test.run '^$' -test.bench "$RUN" -test.benchtime "$BENCHTIME" -test.benchmem)
}
more() { # round: whether there is time for it, if it takes as long as those before
	[ -z "${MINUTES:-}" ] || [ "$1" = 1 ] || [ $((SECONDS + SECONDS / ($1 - 1))) -lt $((MINUTES * 60)) ]
}
benchstat() { go run golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da "$@"; }

if [ "${1:-}" = compare ]; then
	ref=${2:?run.sh compare REF}
	git worktree add --quiet --detach "$tmp/ref" "$ref"
	build "$tmp/ref" old
	build . new
	for i in $(seq "$ROUNDS"); do
		more "$i" || break
		echo "round $i of $ROUNDS" >&2
		round "$tmp/ref" old >>"$tmp/old.txt"
		round . new >>"$tmp/new.txt"
	done
	benchstat "$ref=$tmp/old.txt" "this tree=$tmp/new.txt"
	exit
fi

OUT=${OUT:-$tmp/out.txt}
build . new
{
	echo "date: $(date -u +%F)"
	echo "commit: $(git describe --always --dirty)"
	echo "go: $(go env GOVERSION)"
	echo "machine: $(nproc) cores, $(free -g | awk '/^Mem/ {print $2}') GiB, $(findmnt -nT "${TMPDIR:-/tmp}" -o FSTYPE), Linux $(uname -r)"
	echo "command: RUN='$RUN' ROUNDS=$ROUNDS BENCHTIME=$BENCHTIME PKG=$PKG bench/run.sh"
} >"$OUT"
for i in $(seq "$ROUNDS"); do
	more "$i" || break
	echo "round $i of $ROUNDS" >&2
	round . new | tee -a "$OUT" | grep --line-buffered '^Benchmark\|^---\|FAIL' >&2 || echo "run.sh: not all of round $i succeeded" >&2
done
# What the machine did to the client's allocations is in the raw output only.
units='.unit:("records/s" OR "p50-µs" OR "p99-µs" OR "p99.9-µs" OR "s/start" OR "ready-RSS-MiB" OR "served-RSS-MiB")'
case $PKG in
./bench) ;;
*bench/peers) (cd bench/peers && go run ./ratios "$OUT") && exit ;;
*) exec cat "$OUT" ;;
esac
benchstat -ignore date,commit,go,machine,command -filter "$units" -col '/broker@(riffle kfake file)' "$OUT"
