#!/bin/sh
# Makes the keys that are missing and enrols them; what exists is left as it is, so it can run at every start.
#   create-keys.sh DIRECTORY AGGREGATOR SITE/WORKER...
# Afterwards: DIRECTORY/AGGREGATOR/ and DIRECTORY/SITE/ hold the private keys of each, DIRECTORY/trusted/nodes/ the
# nodes' public keys (for aggregator and API), DIRECTORY/trusted/aggregator/ the aggregator's (for everybody).
set -eu

directory=$1
aggregator=$2
shift 2

make_key() { # name, where the private key goes, where the public key is enrolled
    stem=$(printf '%s' "$1" | sed 's|/|__|g')
    mkdir -p "$2" "$3"
    [ -e "$2/$stem.key" ] || streamgauge keys create "$1" --dir "$2"
    cmp -s "$2/$stem.pub" "$3/$stem.pub" || streamgauge keys enrol "$2/$stem.pub" --dir "$3"
}

make_key "$aggregator" "$directory/$aggregator" "$directory/trusted/aggregator"
for node in "$@"; do
    make_key "$node" "$directory/${node%%/*}" "$directory/trusted/nodes"
done
