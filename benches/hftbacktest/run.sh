#!/usr/bin/env bash
# Builds the bench, prepares the feed once, and prints the table of medians (argument: runs per row, 5), or with `grid N` runs
# the rule with N pairs of thresholds and prints a CSV line of each.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
: "${CROSSBOOK_DATA:?set it to the folder that holds parity/feed.parquet}"
target=${CARGO_TARGET_DIR:-target}
data=$target/parity-data
cargo build --release --quiet
[ -s "$data/rows" ] || "$target/release/hftbacktest-bench" prepare "$CROSSBOOK_DATA/parity" "$data"
if [ "${1:-}" = grid ]; then
  exec "$target/release/hftbacktest-bench" grid "$data" "${2:-1000}"
fi
exec "$target/release/hftbacktest-bench" all "$data" "${1:-5}"
