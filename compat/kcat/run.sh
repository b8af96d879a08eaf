#!/usr/bin/env bash
# kcat (librdkafka 2.0.2 in Debian): metadata, every codec, keys, headers and
# tombstones, offsets by position and time, groups, and idempotent producers.
# Prints "ok NAME" or "not ok NAME: cause".
set -u
. "$(dirname "$0")/../report.sh"
seeds=$1
topic=compat-kcat-$$
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
k() { timeout 30 kcat -b "$seeds" -q "$@"; }

"$RIFFLE" topic create "$topic" --brokers "$seeds" --partitions 1 >"$tmp/create" 2>&1 || { echo "not ok create: $(cat "$tmp/create")"; exit; }
check metadata 1 "$(k -L -t "$topic" | grep -c "topic \"$topic\" with 1 partitions")"

# Compressible lines: a codec that the client silently leaves out would be larger.
want=""
for codec in none gzip snappy lz4 zstd; do
	line=$(printf "$codec%.0s" {1..200})
	for _ in {1..20}; do echo "$line"; done >"$tmp/in"
	k -P -t "$topic" -z "$codec" -X linger.ms=200 <"$tmp/in" 2>"$tmp/err" || cat "$tmp/err"
	check "codec-$codec-warns-not" 0 "$(grep -c 'not compressing' "$tmp/err")"
	want+="$(cat "$tmp/in")"$'\n'
done
check codecs "$(printf %s "$want" | md5sum)" "$(k -C -t "$topic" -o beginning -e | md5sum)"

printf 'key:value\n' | k -P -t "$topic" -K: -H one=1 -H two=2
check headers "key=value one=1,two=2" "$(k -C -t "$topic" -o -1 -e -f '%k=%s %h')"
printf 'gone:' | k -P -t "$topic" -K: -Z
check tombstone "gone -1" "$(k -C -t "$topic" -o -1 -e -f '%k %S')"
check offset-inside-a-batch 97 "$(k -C -t "$topic" -o 5 -e -f '%o\n' | wc -l)"
check by-time "$topic [0] offset 0" "$(k -Q -t "$topic:0:1")"
check beyond-the-end 0 "$(k -C -t "$topic" -o 102 -e | wc -l)"

printf 'a\nb\nc\n' | k -P -t "$topic" -X enable.idempotence=true
check idempotent "a b c" "$(k -C -t "$topic" -o -3 -e | tr '\n' ' ' | sed 's/ $//')"

check group 105 "$(k -G "compat-kcat-$$" -X auto.offset.reset=earliest -e "$topic" 2>/dev/null | wc -l)"
printf 'd\n' | k -P -t "$topic"
check group-goes-on d "$(k -G "compat-kcat-$$" -X auto.offset.reset=earliest -e "$topic" 2>/dev/null)"

# librdkafka before 2.11 logs in only where SaslHandshake is advertised from version 0.
login() { # mechanism, password
	timeout 30 kcat -b "$SECURE_SEEDS" -X security.protocol=SASL_PLAINTEXT -X "sasl.mechanisms=$1" -X "sasl.username=$SECURE_USER" -X "sasl.password=$2" "${@:3}" 2>&1
}
for mechanism in SCRAM-SHA-256 SCRAM-SHA-512 PLAIN; do
	check "login-$mechanism" "1 brokers:" "$(login "$mechanism" "$SECURE_PASSWORD" -L | grep -o '1 brokers:')"
done
check login-wrong-password refused "$(login SCRAM-SHA-256 wrong -L -m 10 | grep -q 'wrong user or password' && echo refused)"
