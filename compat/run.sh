#!/usr/bin/env bash
# Runs the clients that this machine has against Riffle servers of its own, and says
# what it skipped. Arguments name the suites to run; none means all.
#
# A suite prints "ok NAME" or "not ok NAME: cause" for each check. A check that fails
# is an error unless allow.txt has it, with the reason; one that is listed there and
# works is an error, too: the list must not outlive its reasons. A suite gets the address
# of a server; SECURE_SEEDS is one where SECURE_USER logs in by SECURE_PASSWORD.
#
# COMPAT_LOGS names a directory that keeps what the suites and the server logged.
set -uo pipefail
cd "$(dirname "$0")"
known=(kcat kafka-python confluent-python kafkajs platformatic java franz-go)
suites=("${known[@]}")
[ $# -gt 0 ] && suites=("$@")

tmp=$(mktemp -d)
logs=${COMPAT_LOGS:-$tmp}
mkdir -p "$logs"
servers=()
stop() {
	for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" 2>/dev/null; done
	rm -rf "$tmp"
}
trap stop EXIT
trap 'exit 130' INT TERM

# start NAME FLAG...: starts a server and sets seeds to its address.
start() {
	local name=$1
	"$RIFFLE" server --dir "$tmp/$name" --metrics-addr "" --max-connections-per-ip 1024 --group-consumer-heartbeat-interval 1s "${@:2}" >"$tmp/$name.ready" 2>"$logs/server-$name.log" &
	servers+=($!)
	for _ in $(seq 300); do
		seeds=$(sed -n 's/.* is ready at \([^,]*\),.*/\1/p' "$tmp/$name.ready" 2>/dev/null)
		[ -z "$seeds" ] || return 0
		kill -0 $! 2>/dev/null || break
		sleep 0.1
	done
	echo "the server did not get ready:" && cat "$logs/server-$name.log"
	exit 1
}

export GOTOOLCHAIN=auto RIFFLE="$tmp/riffle" NODE="${NODE:-node}"
(cd .. && go build -o "$RIFFLE" ./cmd/riffle) || exit 1
# One server that asks nobody who he is, and one where clients log in.
export SECURE_USER=admin SECURE_PASSWORD=compat-secret SECURE_SEEDS
(umask 077 && echo "$SECURE_USER = $SECURE_PASSWORD" >"$tmp/users")
start secure --listen sasl_plaintext://127.0.0.1:0 --users-file "$tmp/users" --super-users "User:$SECURE_USER"
SECURE_SEEDS=$seeds
start plain --listen 127.0.0.1:0

# missing says what a suite needs and the machine has not; nothing if it can run.
missing() {
	case $1 in
	kcat) command -v kcat >/dev/null || echo "kcat (apt-get install kcat)" ;;
	kafka-python) /usr/bin/python3 -c 'import kafka' 2>/dev/null || echo "python3-kafka (apt-get install python3-kafka)" ;;
	confluent-python) /usr/bin/python3 -c 'import confluent_kafka' 2>/dev/null || echo "python3-confluent-kafka (apt-get install python3-confluent-kafka)" ;;
	kafkajs | platformatic)
		command -v "$NODE" >/dev/null || { echo "node (or name one by NODE)"; return; }
		[ "$1" = kafkajs ] || "$NODE" -e 'process.exit(Promise.withResolvers ? 0 : 1)' || { echo "node 22 or later, which @platformatic/kafka needs (name one by NODE)"; return; }
		[ -d node/node_modules ] || (cd node && npm ci --silent --no-audit --no-fund) >"$tmp/npm" 2>&1 || echo "its packages (npm ci in compat/node: $(tail -1 "$tmp/npm"))"
		;;
	franz-go) (cd franz-go && go list github.com/twmb/franz-go/pkg/kgo) >/dev/null 2>&1 || echo "franz-go from the Go module proxy" ;;
	java)
		command -v mvn >/dev/null || { echo "Maven and a JDK of 17 or later (apt-get install maven)"; return; }
		(cd java && mvn -q -B compile) >"$tmp/mvn" 2>&1 || echo "Apache Kafka from Maven Central (mvn compile in compat/java: $(grep -m1 ERROR "$tmp/mvn"))"
		;;
	*) echo "a suite of that name; there are: ${known[*]}" ;;
	esac
}

suite() {
	case $1 in
	kcat) kcat/run.sh "$seeds" ;;
	kafka-python) PYTHONDONTWRITEBYTECODE=1 timeout 300 /usr/bin/python3 python/kafka_python.py "$seeds" ;;
	confluent-python) PYTHONDONTWRITEBYTECODE=1 timeout 300 /usr/bin/python3 python/confluent.py "$seeds" ;;
	kafkajs) timeout 600 "$NODE" node/kafkajs.mjs "$seeds" ;;
	platformatic) timeout 600 "$NODE" node/platformatic.mjs "$seeds" ;;
	java) java/run.sh "$seeds" ;;
	franz-go) franz-go/run.sh "$seeds" ;;
	esac
}

passed=0 allowed=0 failed=0 skipped=0
for name in "${suites[@]}"; do
	why=$(missing "$name")
	if [ -n "$why" ]; then
		echo "skip $name: this machine lacks $why"
		skipped=$((skipped + 1))
		continue
	fi
	ok=0 bad=0
	while read -r line; do
		case $line in "ok "*) result=ok check=${line#ok } ;; "not ok "*) result=bad check=${line#not ok } check=${check%%:*} ;; *) continue ;; esac
		reason=$(sed -n "s#^$name/$check: ##p" allow.txt)
		if [ $result = ok ] && [ -z "$reason" ]; then
			echo "ok $name/$check"
			ok=$((ok + 1))
		elif [ $result = ok ]; then
			echo "FAIL $name/$check works: take it out of compat/allow.txt"
			bad=$((bad + 1))
		elif [ -n "$reason" ]; then
			echo "allowed $name/$check: $reason"
			allowed=$((allowed + 1))
		else
			echo "FAIL $name/${line#not ok }"
			bad=$((bad + 1))
		fi
	done < <(suite "$name" 2>"$logs/$name.log" || echo "not ok finish: exit status $?")
	if [ $((ok + bad)) = 0 ]; then
		echo "FAIL $name: it ended before its first check"
		bad=1
	fi
	echo "$name: $ok checks passed, $bad failed"
	[ $bad = 0 ] || tail -n 40 "$logs/$name.log" | sed 's/^/    /'
	passed=$((passed + ok)) failed=$((failed + bad))
done
for name in plain secure; do
	grep 'level=ERROR\|panic' "$logs/server-$name.log" >"$tmp/errors" || continue
	echo "FAIL the $name server logged errors:"
	head -20 "$tmp/errors" | sed 's/^/    /'
	failed=$((failed + 1))
done
echo "compat: $passed checks passed, $failed failed, $allowed failed as allow.txt says; $skipped of ${#suites[@]} suites skipped"
[ $failed = 0 ]
