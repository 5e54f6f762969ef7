#!/bin/sh
# Creates topics of records that are missing.
#   create-topics.sh BOOTSTRAP_SERVERS TOPIC...
# Kept for a year and at most 1 GiB a partition. A replay faster than life writes times far from now: retention by
# time then has to be long, and times ahead of the broker's clock have to be allowed.
set -eu

servers=$1
shift
for topic in "$@"; do
    "${KAFKA_BIN:-/opt/kafka/bin}/kafka-topics.sh" --bootstrap-server "$servers" \
        --create --if-not-exists --topic "$topic" --partitions 2 --replication-factor 1 \
        --config "retention.ms=${RECORDS_RETENTION_MS:-31536000000}" \
        --config retention.bytes=1073741824 \
        --config message.timestamp.after.max.ms=9223372036854775807
done
