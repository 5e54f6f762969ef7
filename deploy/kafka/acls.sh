#!/bin/sh
# Example: who may do what on clusters with an authorizer; everything else is refused. Run it with an administrator's
# client configuration, and adapt the principals (users of SASL, or distinguished names of certificates).
#   acls.sh records    BOOTSTRAP_SERVERS ADMIN.properties     # once on each site's own cluster
#   acls.sh federation BOOTSTRAP_SERVERS ADMIN.properties     # once on the shared cluster
# Create and alter topics by hand or let the services do it: they create what is missing at their first start (the
# lines marked "first start"), later they only verify, which needs Describe and DescribeConfigs; so does
# `streamgauge doctor`, of every topic that a service reads or writes. A name of a topic is meant literally, a name of
# a group as the beginning of all names that start with it.
set -eu

role=$1
servers=$2
config=$3
prefix=${TOPIC_PREFIX:-streamgauge.}

# principal, operations with spaces between them, topics with spaces between them
allow() {
    operations=$(for each in $2; do printf -- '--operation %s ' "$each"; done)
    for topic in $3; do
        # shellcheck disable=SC2086  # several words on purpose
        "${KAFKA_BIN:-/opt/kafka/bin}/kafka-acls.sh" --bootstrap-server "$servers" --command-config "$config" \
            --add --allow-principal "User:$1" $operations --topic "$topic"
    done
}

# In the default mode each node commits under GROUP_ID.SITE.WORKER, in group mode all under GROUP_ID: both begin alike.
allow_group() {
    "${KAFKA_BIN:-/opt/kafka/bin}/kafka-acls.sh" --bootstrap-server "$servers" --command-config "$config" \
        --add --allow-principal "User:$1" --operation Read --operation Describe \
        --resource-pattern-type prefixed --group "$2"
}

own() {
    for name in $1; do printf '%s%s ' "$prefix" "$name"; done
}

case $role in
records)
    # An edge node reads its site's records and writes what it finds. Nothing of this leaves the site's cluster.
    allow edge-node "Read Describe DescribeConfigs" "${RECORDS_TOPICS:-site-a.records}"
    allow_group edge-node "${GROUP_ID:-streamgauge-edge}"
    allow edge-node "Write Describe DescribeConfigs" "$(own 'alerts dead-letters contexts')"
    allow edge-node "Read" "$(own contexts)"
    allow edge-node "Read Describe DescribeConfigs" "$(own feedback)"
    allow edge-node "Create" "$(own 'alerts dead-letters contexts feedback')" # first start
    allow api "Read Describe DescribeConfigs" "$(own alerts)"
    allow api "Write Describe DescribeConfigs" "$(own feedback)" # people's verdicts
    ;;
federation)
    # Nodes send their status, updates and votes; they cannot write plans, models or releases.
    for node in ${NODES:-site-a site-b site-c}; do
        allow "$node" "Write Describe DescribeConfigs" "$(own 'nodes updates votes')"
        allow "$node" "Read Describe DescribeConfigs" "$(own 'rounds models releases')"
    done
    # The aggregator marks deadlines in updates and votes, so it writes there too.
    allow aggregator "Read Describe DescribeConfigs" "$(own 'nodes updates votes')"
    allow aggregator "Write Describe DescribeConfigs" "$(own 'rounds updates votes models releases')"
    allow aggregator "Create" "$(own 'nodes rounds updates votes models releases')" # first start
    allow api "Read Describe DescribeConfigs" "$(own 'nodes rounds models releases')"
    allow api "Describe DescribeConfigs" "$(own 'updates votes')" # the doctor looks whether all are there
    ;;
*)
    echo "role $role: records or federation" >&2
    exit 2
    ;;
esac
