#!/usr/bin/env bash
# Apache Kafka's own tools (kafka-tools, the Java clients and Kafka Streams): topics,
# configs, groups, transactions, users, permissions, the console clients, the verifiable and the
# performance clients, and a word count that is killed half-way.
# Prints "ok NAME" or "not ok NAME: cause".
set -uo pipefail
cd "$(dirname "$0")"
. ../report.sh
seeds=$1
topic=compat-java-$$
tmp=$(mktemp -d)
streams=
trap '[ -n "$streams" ] && kill -9 "$streams" 2>/dev/null; rm -rf "$tmp"' EXIT
jvm=(java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "target/classes:$(<target/classpath)")
tool() { timeout 120 "${jvm[@]}" "org.apache.kafka.tools.$1" --bootstrap-server "$seeds" "${@:2}"; }
group() { tool consumer.group.ConsumerGroupCommand "$@"; }
consume() { tool consumer.ConsoleConsumer --timeout-ms 20000 "$@"; }
squeeze() { tr -s ' \t' ' ' | sed 's/ $//'; }

# Topics and configs.
check topic-create "Created topic $topic." "$(tool TopicCommand --create --topic "$topic" --partitions 2 --config cleanup.policy=delete)"
tool TopicCommand --alter --topic "$topic" --partitions 3
check topic-describe "3 1 cleanup.policy=delete" "$(tool TopicCommand --describe --topic "$topic" |
	sed -n 's/.*PartitionCount: \([0-9]*\).*ReplicationFactor: \([0-9]*\).*Configs: \(.*\)/\1 \2 \3/p')"
check topic-list "$topic" "$(tool TopicCommand --list --exclude-internal --topic "$topic")"
tool ConfigCommand --entity-type topics --entity-name "$topic" --alter --add-config retention.ms=3600000,max.message.bytes=2000000 >"$tmp/out"
tool ConfigCommand --entity-type topics --entity-name "$topic" --alter --delete-config max.message.bytes >"$tmp/out"
check config-topic "cleanup.policy=delete retention.ms=3600000" "$(tool ConfigCommand --entity-type topics --entity-name "$topic" --describe |
	sed -n 's/^ *\([^ ]*=[^ ]*\) sensitive=.*/\1/p' | sort | paste -sd' ')"
check config-invalid InvalidConfigurationException "$(tool ConfigCommand --entity-type topics --entity-name "$topic" --alter --add-config retention.ms=soon 2>&1 |
	grep -om1 InvalidConfigurationException)"
check config-broker 1 "$(tool ConfigCommand --entity-type brokers --entity-name 1 --describe --all | grep -c ' num.partitions=1 ')"

# Console clients.
for i in 1 2 3 4 5 6; do echo "h:$i|k$i|v$i"; done |
	tool ConsoleProducer --topic "$topic" --reader-property parse.key=true --reader-property parse.headers=true \
		--reader-property "key.separator=|" --reader-property "headers.delimiter=|" --compression-codec zstd
check console "h:1 k1 v1,h:2 k2 v2,h:3 k3 v3,h:4 k4 v4,h:5 k5 v5,h:6 k6 v6" "$(consume --topic "$topic" --from-beginning --max-messages 6 --group "$topic" \
	--formatter-property print.key=true --formatter-property print.headers=true 2>"$tmp/err" | squeeze | sort | paste -sd,)"
check offsets "6" "$(tool GetOffsetShell --topic "$topic" | awk -F: '{n += $3} END {print n}')"
check offsets-earliest "0 0 0" "$(tool GetOffsetShell --topic "$topic" --time earliest | cut -d: -f3 | paste -sd' ')"
check offsets-by-time "0 0 0" "$(tool GetOffsetShell --topic "$topic" --time 1 | cut -d: -f3 | paste -sd' ')"
check offsets-max-timestamp 3 "$(tool GetOffsetShell --topic "$topic" --time max-timestamp | grep -c ":")"

# Groups.
check groups "$topic" "$(group --list | grep -x "$topic")"
check groups-all "$topic Classic consumer" "$(tool GroupsCommand --list | squeeze | grep "^$topic ")"
check group-describe "3 6 6 0" "$(group --describe --group "$topic" | awk -v t="$topic" '$2 == t {p++; c += $4; e += $5; l += $6} END {print p, c, e, l}')"
check group-state "Empty 0" "$(group --describe --group "$topic" --state | awk -v t="$topic" '$1 == t {print $(NF-1), $NF}')"
check group-reset-dry-run "0 0 0" "$(group --reset-offsets --group "$topic" --topic "$topic" --to-earliest --dry-run | awk -v t="$topic" '$2 == t {print $4}' | paste -sd' ')"
group --reset-offsets --group "$topic" --topic "$topic" --to-earliest --execute >"$tmp/out"
check group-reset 6 "$(group --describe --group "$topic" | awk -v t="$topic" '$2 == t {l += $6} END {print l}')"
check group-delete-offsets 1 "$(group --delete-offsets --group "$topic" --topic "$topic:0" | grep -c Successful)"
check group-delete 1 "$(group --delete --group "$topic" | grep -c "was successful")"
check group-deleted 0 "$(group --list | grep -cx "$topic")"

# Records and directories.
printf '{"partitions": [{"topic": "%s", "partition": 0, "offset": -1}], "version": 1}' "$topic" >"$tmp/delete.json"
tool DeleteRecordsCommand --offset-json-file "$tmp/delete.json" >"$tmp/out"
check delete-records "$(tool GetOffsetShell --topic "$topic" --partitions 0 --time latest)" "$(tool GetOffsetShell --topic "$topic" --partitions 0 --time earliest)"
check log-dirs 3 "$(tool LogDirsCommand --describe --topic-list "$topic" | grep -o '"partition":' | grep -c .)"
check elect-leaders 1 "$(tool LeaderElectionCommand --election-type PREFERRED --topic "$topic" --partition 0 2>&1 | grep -c 'Valid replica already elected')"
check reassignments 1 "$(tool reassign.ReassignPartitionsCommand --list 2>&1 | grep -c 'No partition reassignments found')"

# The cluster.
check api-versions 0 "$(tool BrokerApiVersionsCommand | grep -cE '^\s*(Produce|Fetch|Metadata)\(.*UNSUPPORTED')"
check cluster-id 1 "$(timeout 60 "${jvm[@]}" org.apache.kafka.tools.ClusterTool cluster-id --bootstrap-server "$seeds" | grep -c '^Cluster ID: .')"
check cluster-endpoints "$seeds" "$(timeout 60 "${jvm[@]}" org.apache.kafka.tools.ClusterTool list-endpoints --bootstrap-server "$seeds" | awk '$1 == 1 {print $2 ":" $3}')"
check features 2 "$(tool FeatureCommand describe | squeeze | sed -n 's/^Feature: transaction.version .*FinalizedVersionLevel: \([0-9]*\) .*/\1/p')"

check quorum-status "1 1 0" "$(tool MetadataQuorumCommand describe --status | awk -F': *' '$1 == "LeaderId" || $1 == "LeaderEpoch" || $1 == "MaxFollowerLag" {print $2}' | squeeze | paste -sd' ')"
check quorum-replication "0 Leader" "$(tool MetadataQuorumCommand describe --replication | squeeze | awk '$1 == 1 && $3 > 0 {print $4, $NF}')"

# Verifiable clients.
check verifiable-producer "1000 1000" "$(tool VerifiableProducer --topic "$topic" --max-messages 1000 --repeating-keys 10 |
	sed -n 's/.*"tool_data".*"sent":\([0-9]*\),"acked":\([0-9]*\).*/\1 \2/p')"
verifiable_consumer() { # name, more flags
	tool VerifiableConsumer --topic "$topic" --group-id "$topic-$1" --max-messages 1000 "${@:2}" >"$tmp/$1"
	check "verifiable-consumer-$1" "1000 committed" "$(sed -n 's/.*"records_consumed","count":\([0-9]*\).*/\1/p' "$tmp/$1" | awk '{n += $1} END {print n + 0}') $(
		grep -q '"offsets_committed".*"success":true' "$tmp/$1" && echo committed)"
}
verifiable_consumer range
verifiable_consumer cooperative --assignment-strategy org.apache.kafka.clients.consumer.CooperativeStickyAssignor
verifiable_consumer static --group-instance-id one
verifiable_consumer kip-848 --group-protocol consumer
check groups-kip-848 "$topic-kip-848 Consumer consumer" "$(tool GroupsCommand --list | squeeze | grep "^$topic-kip-848 ")"
check group-state-kip-848 "Empty 0" "$(group --describe --group "$topic-kip-848" --state | awk -v t="$topic-kip-848" '$1 == t {print $(NF-1), $NF}')"
tool ConfigCommand --entity-type groups --entity-name "$topic-kip-848" --alter --add-config consumer.session.timeout.ms=50000 >"$tmp/out"
check config-group "consumer.session.timeout.ms=50000" "$(tool ConfigCommand --entity-type groups --entity-name "$topic-kip-848" --describe |
	sed -n 's/^ *\([^ ]*=[^ ]*\) sensitive=.*/\1/p')"

# Performance clients.
for acks in all 1; do
	check "perf-producer-acks-$acks" 50000 "$(tool ProducerPerformance --topic "$topic" --num-records 50000 --record-size 100 --throughput -1 \
		--command-property "acks=$acks" compression.type=lz4 | sed -n 's/^\([0-9]*\) records sent.*99.9th.*/\1/p')"
done
check perf-producer-transactional 20000 "$(tool ProducerPerformance --topic "$topic" --num-records 20000 --record-size 100 --throughput -1 \
	--transactional-id "$topic-perf" --transaction-duration-ms 50 | sed -n 's/^\([0-9]*\) records sent.*99.9th.*/\1/p')"
check perf-consumer 1 "$(tool ConsumerPerformance --topic "$topic" --num-records 100000 --timeout 30000 | tail -1 | awk -F', ' '{print ($5 >= 100000)}')"

# Transactions.
check transactions-list "CompleteCommit" "$(tool TransactionsCommand list | awk -v id="$topic-perf" '$1 == id {print $4}')"
check transactions-describe "CompleteCommit" "$(tool TransactionsCommand describe --transactional-id "$topic-perf" | awk -v id="$topic-perf" 'index($0, id) {print $5}')"
check transactions-producers 1 "$(tool TransactionsCommand describe-producers --topic "$topic" --partition 0 | grep -c 'None\s*$' | awk '{print ($1 > 0)}')"
check transactions-hanging 1 "$(tool TransactionsCommand find-hanging --broker-id 1 | grep -c .)"
# One whose producer is killed is aborted by hand.
tool TopicCommand --create --topic "$topic-open" --partitions 1 >"$tmp/out"
"${jvm[@]}" org.apache.kafka.tools.ProducerPerformance --bootstrap-server "$seeds" --topic "$topic-open" --num-records 100000 --record-size 100 --throughput 50 \
	--transactional-id "$topic-open" --transaction-duration-ms 600000 --command-property transaction.timeout.ms=700000 >"$tmp/open" 2>&1 &
open=$!
for _ in $(seq 60); do
	[ "$(tool GetOffsetShell --topic "$topic-open" | cut -d: -f3)" = 0 ] || break
	sleep 0.2
done
kill -9 "$open"
wait "$open" 2>"$tmp/err"
started() { tool TransactionsCommand describe-producers --topic "$topic-open" --partition 0 | squeeze | awk 'NR == 2 {print $NF}'; }
check transactions-open "0 Ongoing" "$(started) $(tool TransactionsCommand describe --transactional-id "$topic-open" | awk -v id="$topic-open" 'index($0, id) {print $5}')"
tool TransactionsCommand abort --topic "$topic-open" --partition 0 --start-offset 0 >"$tmp/out" 2>&1
check transactions-abort None "$(started)"
tool TopicCommand --create --topic "$topic-copy-in" --partitions 1 >"$tmp/out"
tool TopicCommand --create --topic "$topic-copy-out" --partitions 1 >"$tmp/out"
tool VerifiableProducer --topic "$topic-copy-in" --max-messages 2000 >"$tmp/out"
copier() { # name, more flags
	timeout 180 "${jvm[@]}" org.apache.kafka.tools.TransactionalMessageCopier --broker-list "$seeds" --input-topic "$topic-copy-in" --input-partition 0 \
		--output-topic "$topic-copy-out" --transactional-id "$topic-copier" --consumer-group "$topic-copier" --transaction-size 100 "$@"
}
copier --max-messages 1000 --enable-random-aborts >"$tmp/copier1"
copier --enable-random-aborts --group-mode --use-group-metadata >"$tmp/copier2"
check copier "0 to 1999, each once, in order" "$(consume --topic "$topic-copy-out" --from-beginning --max-messages 2000 --isolation-level read_committed 2>"$tmp/err" |
	awk '$1 != NR - 1 {print NR - 1 " is " $1; bad = 1; exit} END {if (!bad) print (NR == 2000) ? "0 to 1999, each once, in order" : NR " records"}')"

# Kafka Streams: killed half-way, its state deleted, started again.
tool TopicCommand --create --topic "$topic-words-in" --partitions 2 >"$tmp/out"
tool TopicCommand --create --topic "$topic-words-out" --partitions 2 >"$tmp/out"
words() { timeout 120 "${jvm[@]}" WordCount "$1" "$seeds" "$topic-words" "${@:2}"; }
count() { "${jvm[@]}" WordCount count "$seeds" "$topic-words" "$tmp/state" & streams=$!; }
words feed 0
count
check streams-first-half complete "$(words verify 1)"
words feed 1
kill -9 "$streams"
wait "$streams" 2>"$tmp/err"
rm -rf "$tmp/state"
count
check streams-exactly-once complete "$(words verify 2)"
kill "$streams"
wait "$streams"
streams=
check streams-changelog "compact" "$(tool ConfigCommand --entity-type topics --entity-name "$topic-words-counts-changelog" --describe | sed -n 's/^ *cleanup.policy=\([^ ]*\) .*/\1/p')"
check streams-reset 1 "$(tool StreamsResetter --application-id "$topic-words" --input-topics "$topic-words-in" --force | grep -c 'Done\.$' | awk '{print ($1 > 0)}')"

tool TopicCommand --delete --topic "$topic"
check topic-deleted "" "$(tool TopicCommand --list --topic "$topic")"

# Users and permissions, on the server where clients log in.
config() { # file, user, password, mechanism
	printf '%s\n' security.protocol=SASL_PLAINTEXT "sasl.mechanism=$4" \
		"sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required username=\"$2\" password=\"$3\";" >"$tmp/$1"
}
config admin "$SECURE_USER" "$SECURE_PASSWORD" SCRAM-SHA-512
config alice alice alice-secret SCRAM-SHA-256
seeds=$SECURE_SEEDS
as() { tool "$2" --command-config "$tmp/$1" "${@:3}"; }
acls() { as admin AclCommand "$@"; }
send() { echo "$1" | as alice ConsoleProducer --topic "$topic" --command-property max.block.ms=10000 2>&1 | grep -om1 '[A-Za-z]*AuthorizationException\|SaslAuthenticationException'; }
receive() { as alice consumer.ConsoleConsumer --topic "$topic" --group "$topic" --from-beginning --max-messages 2 --timeout-ms 20000 2>"$tmp/err" | paste -sd' '; }
as admin TopicCommand --create --topic "$topic" --partitions 1 >"$tmp/out"

check scram-user-create "Completed updating config for user alice." "$(as admin ConfigCommand --alter --entity-type users --entity-name alice \
	--add-config 'SCRAM-SHA-256=[iterations=8192,password=alice-secret]')"
check scram-user-describe "SCRAM-SHA-256=iterations=8192" "$(as admin ConfigCommand --describe --entity-type users --entity-name alice | grep -o 'SCRAM-SHA-256=iterations=8192')"
check acl-none-may-not-write TopicAuthorizationException "$(send a)"
acls --add --allow-principal User:alice --producer --topic "$topic" >"$tmp/out"
check acl-may-write "" "$(send b)$(send c)"
check acl-none-may-not-read 1 "$(as alice consumer.ConsoleConsumer --topic "$topic" --group "$topic" --timeout-ms 5000 2>&1 | grep -cm1 'AuthorizationException')"
acls --add --allow-principal User:alice --consumer --topic "${topic%-*}-" --group "${topic%-*}-" --resource-pattern-type prefixed >"$tmp/out"
check acl-may-read-by-prefix "b c" "$(receive)"
check acl-list "WRITE LITERAL, READ PREFIXED" "$(acls --list --topic "$topic" --resource-pattern-type match --principal User:alice |
	awk '/patternType=LITERAL/ {p = "LITERAL"} /patternType=PREFIXED/ {p = "PREFIXED"} /operation=(READ|WRITE)/ {match($0, /operation=[A-Z]+/); print substr($0, RSTART + 10, RLENGTH - 10), p}' |
	sort -r | paste -sd, | sed 's/,/, /')"
acls --add --deny-principal User:alice --deny-host '*' --operation Write --topic "$topic" >"$tmp/out"
check acl-deny-wins ClusterAuthorizationException "$(send d)" # who may write nowhere gets no producer id
acls --remove --force --deny-principal User:alice --deny-host '*' --operation Write --topic "$topic" >"$tmp/out"
check acl-deny-removed "" "$(send d)"
acls --add --allow-principal User:alice --producer --transactional-id "$topic" --topic "$topic" >"$tmp/out"
check acl-transactional 1000 "$(as alice ProducerPerformance --topic "$topic" --num-records 1000 --record-size 100 --throughput -1 \
	--transactional-id "$topic" --transaction-duration-ms 50 | sed -n 's/^\([0-9]*\) records sent.*99.9th.*/\1/p')"
as admin ConfigCommand --alter --entity-type users --entity-name alice --delete-config SCRAM-SHA-256 >"$tmp/out"
check scram-user-deleted SaslAuthenticationException "$(send e)"
