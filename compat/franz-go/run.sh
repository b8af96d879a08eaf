#!/usr/bin/env bash
# The tests that franz-go runs against Kafka. KGO_TEST_RECORDS (default 20,000 here)
# sets how many records they send; its own default is 500,000.
#
# A run that a panic ended has an exit status, and no test to its name.
set -uo pipefail
cd "$(dirname "$0")"
export KGO_SEEDS=$1 KGO_TEST_RF=1 KGO_LOG_LEVEL=none KGO_TEST_RECORDS=${KGO_TEST_RECORDS:-20000}
export KGO_TEST_SCRAM="$SECURE_USER:$SECURE_PASSWORD:${KGO_SCRAM:-256}" KGO_TEST_SCRAM_SEEDS=$SECURE_SEEDS
go test -count=1 -timeout "${KGO_TIMEOUT:-10m}" -v ${KGO_RUN:+-run "$KGO_RUN"} github.com/twmb/franz-go/pkg/kgo 2>&1 |
	tee /dev/stderr |
	sed -un 's/^--- PASS: \([^ ]*\) .*/ok \1/p; s/^--- FAIL: \([^ ]*\) .*/not ok \1: see the log/p; s/^panic: test timed out.*/not ok timeout: &/p'
